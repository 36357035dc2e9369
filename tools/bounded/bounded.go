// Package bounded reads small files of the machine: regular ones, up to a
// number of bytes that the caller knows to be enough.
package bounded

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrUnfit is the cause where a file is too large, or no regular file.
var ErrUnfit = errors.New("is no file of at most")

// ReadFile reads the file name, which must have at most limit bytes.
func ReadFile(name string, limit int64) ([]byte, error) {
	fi, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() || fi.Size() > limit {
		return nil, unfit(name, limit)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, limit+1)) // it may have grown
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) > limit {
		return nil, unfit(name, limit)
	}
	return raw, nil
}

func unfit(name string, limit int64) error {
	return fmt.Errorf("%s %w %d bytes", name, ErrUnfit, limit)
}
