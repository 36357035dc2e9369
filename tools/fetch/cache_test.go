package fetch

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"testing"
)

// TestCacheVerify: what was damaged on disk is found and removed, and nothing else.
func TestCacheVerify(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("content of " + r.URL.Path)) }))
	defer s.Close()
	c := &Cache{Dir: t.TempDir()}
	if files, size, err := c.Usage(); files != 0 || size != 0 || err != nil {
		t.Errorf("empty: %d files, %d bytes, %v", files, size, err)
	}
	var paths []string
	for _, name := range []string{"/a", "/b", "/c"} {
		path, _, err := c.Get(ctx, s.URL+name, Expect{})
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	if err := os.WriteFile(paths[1], []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if files, size, err := c.Usage(); files != 3 || size != 2*13+14 || err != nil {
		t.Errorf("%d files, %d bytes, %v", files, size, err)
	}
	damaged, err := c.Verify(ctx)
	if err != nil || !slices.Equal(damaged, paths[1:2]) {
		t.Errorf("damaged: %q, %v", damaged, err)
	}
	if damaged, err := c.Verify(ctx); err != nil || len(damaged) > 0 {
		t.Errorf("damaged after that: %q, %v", damaged, err)
	}
	if files, _, _ := c.Usage(); files != 2 {
		t.Errorf("%d files are left", files)
	}
}
