// Package fstree holds a file tree in memory: names, modes, owners, times and
// links, with file content by reference. It is what packages are installed into
// and what images are written from.
//
// A Tree itself touches no disk; ReadDir, ReadRoot, WriteDir and UpdateDir go
// between a tree and a directory of this machine. Owners and modes are data, so
// no root rights are needed, and a path can never leave the tree: symbolic links
// are followed inside it, with absolute targets taken as below its root, as
// after chroot(2).
//
// Trees come from datasets, tar archives (ReadTar) and directories (ReadDir);
// Overlay lays one over another as rsync does. Content of archives and
// directories waits in a Spool, a temporary file.
//
// Memory grows with the number of nodes, never with their content.
//
// A Tree and its nodes are not safe for concurrent change; concurrent reading
// of an unchanging tree is fine. Two nodes are the same file (hard links) when
// they are the same *Node.
package fstree
