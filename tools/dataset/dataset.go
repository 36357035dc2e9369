package dataset

import (
	"io"

	"github.com/TritonDataCenter/engbld/tools/fstree"
)

// Layer is one decompressed stream: the full one, or an increment on the layer
// before it.
type Layer struct {
	R    io.ReaderAt // must stay readable as long as content of the dataset is used
	Size int64       // bytes of the stream
	Name string      // for errors

	// Digest identifies the stream's bytes, which the caller has verified, and
	// Index is a file that keeps what Read finds out about the chain up to this
	// layer, so that it is found out once. Both may be "".
	Digest, Index string
}

// Warner takes what a user should know but what stops nothing.
type Warner interface {
	Warnf(format string, args ...any)
}

// ReadOptions tune Read. The zero value is useful.
type ReadOptions struct {
	Warn Warner // nil: silent
}

// Options say what a written stream is called and when it was made.
type Options struct {
	ToGUID       uint64      // of the new snapshot; not 0, and new for each content
	ToName       string      // "pool/fs@snapshot"; receivers ignore all but its form
	CreationTime int64       // seconds; becomes the snapshot's creation property
	Now          fstree.Time // ctime of what changed, crtime of what is new
}

// Stats count what a written stream holds.
type Stats struct {
	Bytes   int64 // of the stream
	Records int64
	Created int // objects new in this stream; a rewritten file counts here and under Freed
	Changed int // objects whose number stays
	Freed   int // objects that are gone
}
