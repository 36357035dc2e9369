package bits

import (
	"context"
	"io"
	"os"
)

// copySummed copies src to dst and sums what dst holds then, so the sum is of
// what was stored. The system copies, where it can without passing the bytes
// through this program; summing is the slower part and runs beside it, reading
// each byte once. The disk writes meanwhile, too, so that little is left when all
// must be on it.
func copySummed(ctx context.Context, dst, src *os.File, h *Hash) (n int64, err error) {
	const step = 8 << 20
	copied := make(chan int64, 1<<10) // lengths of what may be read now
	failed := make(chan error, 1)
	go func() {
		buf := make([]byte, 256<<10)
		off, bad := int64(0), error(nil)
		for k := range copied {
			if bad == nil {
				_, bad = io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{io.NewSectionReader(dst, off, k)}, buf)
			}
			off += k
		}
		failed <- bad
	}()
	for err == nil {
		if err = ctx.Err(); err != nil {
			break
		}
		var k int64
		k, err = dst.ReadFrom(io.LimitReader(src, step))
		if k > 0 {
			startWriting(dst, n, k)
			n += k
			copied <- k
		} else if err == nil {
			err = io.EOF
		}
	}
	close(copied)
	bad := <-failed
	if err == io.EOF {
		err = bad
	}
	return n, err
}
