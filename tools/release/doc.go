// Package release brings images to image servers and into channels: the
// publication of what was built, the promotion of released images from
// channel to channel, and copies from another server (spec imgapi.md sections
// 6 to 9, engbld-interface.md section 4.1).
//
// What imgadm relies on and no server checks is kept here: for every image in
// a channel its origin, the origin's origin and so on are active in the same
// channel. A chain is completed from its root, before the image comes.
//
// All is done one step after the other, looked at afterwards, and can be
// repeated: what is done already is left alone.
//
// Limits: chains of 100 images.
package release
