// Package imgstore finds base images for builds: own builds first, then a
// cache, then image servers or directories. What it hands out is a whole
// origin chain of verified, decompressed streams on disk.
//
// A file is checked against size, SHA-1 and (where the server tells) MD5 of
// its manifest while it is decompressed, and gets its name in the cache only
// then. Builds running at once share one download. Images made in the sandbox
// and real ones never meet: they have the same uuids, so the caller gives each
// kind a cache of its own, and a real build refuses an image with the
// sandbox's mark.
//
// Layout of the cache directory: streams/UUID-SHA1.stream (decompressed) and
// .json (manifest, sizes and digests); own/UUID.imgmanifest and UUID.file
// (registered builds); parts/ (downloads under way, named .engbld-*); locks/.
// All of it can be deleted at any time no build runs.
//
// Limits: chains of 100 images, streams of 256 GiB and 200 times the size of
// the file (64 MiB for small ones).
package imgstore
