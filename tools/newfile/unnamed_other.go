//go:build !linux

package newfile

import "os"

func unnamed(dir, name string) *os.File { return nil }
