// Package imgadm is the command line of image servers, updates-imgadm and
// images-imgadm: the genuine tools' arguments, environment, output and exit
// codes (spec imgapi.md sections 13 and 14).
//
// Where the genuine ones fail, this does not follow: -c is always the
// compression, uuids and columns are checked with a message, an unfinished
// import is finished by the same command, a file is verified wherever it goes,
// several images are added to a channel one after the other, and an image that
// others need is not deleted.
//
// Left out: create, change-stor, icons and the debugging dump. import from a
// source copies through this machine, with all origins.
package imgadm
