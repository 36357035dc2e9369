package fetch

import (
	"os"
	"path/filepath"
	"time"
)

const (
	getAge  = 24 * time.Hour     // a download that got nothing for so long is dead
	partAge = 7 * 24 * time.Hour // a part nobody came back for
)

// sweep removes what killed downloads left below parent, once for each client
// and directory. now is the file system's own time: that of a file just made.
func (c *Client) sweep(parent string, now time.Time) {
	if _, done := c.swept.LoadOrStore(parent, true); done {
		return
	}
	for pattern, age := range map[string]time.Duration{".engbld-get-*": getAge, ".engbld-part-*": partAge} {
		dirs, _ := filepath.Glob(filepath.Join(quoteGlob(parent), pattern))
		for _, dir := range dirs {
			st, err := os.Stat(filepath.Join(dir, dataName))
			if err != nil {
				st, err = os.Stat(dir)
			}
			if err == nil && now.Sub(st.ModTime()) > age {
				os.RemoveAll(dir)
			}
		}
	}
}

// quoteGlob makes a path match itself only.
func quoteGlob(path string) string {
	var b []byte
	for i := range len(path) {
		switch path[i] {
		case '*', '?', '[', '\\':
			b = append(b, '\\')
		}
		b = append(b, path[i])
	}
	return string(b)
}
