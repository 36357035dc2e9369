// Package zstream reads and writes ZFS send streams as records (spec
// zfs-stream.md sections 1 to 5). It knows nothing of files.
//
// The Reader takes little-endian plain streams of any sender, verifies every
// checksum, and refuses by name what it does not know. The Writer makes only
// what every receiver takes: no feature but SA_SPILL, blocks of at most 128 KiB,
// no flags in records.
//
//	record            read                      written
//	BEGIN             header type 1             versioninfo 0x11
//	OBJECT            yes                       dn_slots 1, flags 0
//	FREEOBJECTS       yes                       yes
//	WRITE             plain, or compressed      plain, one block
//	FREE, END         yes                       yes
//	SPILL             yes                       yes
//	WRITE_EMBEDDED    yes                       no
//	WRITE_BYREF       refused (dedup)           no
//	OBJECT_RANGE      refused (raw)             no
//	REDACT            refused (redacted)        no
//
// A payload is at most MaxPayload bytes long and is the only thing held in
// memory. Offsets and lengths in records are checked for sense, not for
// agreement between records: that is the dataset's matter.
package zstream
