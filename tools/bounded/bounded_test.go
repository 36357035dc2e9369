package bounded

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestReadFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "f")
	if err := os.WriteFile(name, []byte("12345"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		limit int64
		want  string
		err   error
	}{
		{name, 5, "12345", nil},
		{name, 6, "12345", nil},
		{name, 4, "", ErrUnfit},
		{dir, 1 << 20, "", ErrUnfit},
		{os.DevNull, 5, "", ErrUnfit},
		{name + "x", 5, "", fs.ErrNotExist},
	} {
		got, err := ReadFile(tt.name, tt.limit)
		if string(got) != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s, %d: %q, %v; want %q, %v", tt.name, tt.limit, got, err, tt.want, tt.err)
		}
	}
}
