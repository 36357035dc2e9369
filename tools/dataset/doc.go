// Package dataset turns ZFS file systems into file trees and file trees into
// send streams: it knows what the objects in a stream mean to the ZPL (spec
// zfs-stream.md sections 7 to 13), where package zstream knows only records.
//
// # Reading
//
// Read takes one full stream and any chain of increments on it. It keeps the
// objects' metadata in memory; file content stays in the streams, which must
// therefore stay readable, and is reached through fstree.Content. Streams of
// OpenZFS and illumos are taken alike, with or without checksums in their
// records.
//
//	feature                              read   written
//	plain records, SA_SPILL              yes    yes
//	LARGE_BLOCKS, LARGE_DNODE            yes    no (such objects are replaced)
//	EMBED_DATA, COMPRESSED with LZ4      yes    no
//	other compression, dedup, raw,
//	redacted, resumed, packages of -p/-R no     no
//	ZPL before 5, normalisation,
//	case folding, FUIDs, volumes         no     no
//
// # Writing
//
// WriteIncrement writes what changed between a dataset and a tree made from it;
// WriteFull writes a tree from nothing. Both follow the recipe of section 15,
// so that every generation of receivers takes the stream: blocks of at most 128
// KiB, no feature but SA_SPILL, every record with its checksum. The same base
// and tree give the same bytes.
//
// Memory grows with the number of files, never with their content.
package dataset
