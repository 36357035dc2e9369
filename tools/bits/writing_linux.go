package bits

import (
	"os"

	"golang.org/x/sys/unix"
)

// startWriting lets the system begin to write part of a file to the disk. It only
// saves time; what goes wrong is found when the file is synced.
func startWriting(f *os.File, off, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE)
}
