package install

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fetch"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/repository"
)

// TestOverHTTP installs from a web server that misbehaves: the result is that
// of a local repository, or an error that leaves the tree as it was.
func TestOverHTTP(t *testing.T) {
	t.Parallel()
	once := func() func(string) bool {
		var mu sync.Mutex
		seen := map[string]bool{}
		return func(path string) bool {
			mu.Lock()
			defer mu.Unlock()
			first := !seen[path]
			seen[path] = true
			return first
		}
	}
	isPackage := func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, ".tgz") }
	for _, tt := range []struct {
		name  string
		wrap  func(files http.Handler) http.HandlerFunc
		fails fault.Kind // 0: the result is right
	}{
		{"plain", func(files http.Handler) http.HandlerFunc { return files.ServeHTTP }, 0},
		{"busy at first", func(files http.Handler) http.HandlerFunc {
			first := once()
			return func(w http.ResponseWriter, r *http.Request) {
				if first(r.URL.Path) {
					http.Error(w, "busy", http.StatusServiceUnavailable)
					return
				}
				files.ServeHTTP(w, r)
			}
		}, 0},
		{"cut at first", func(files http.Handler) http.HandlerFunc {
			first := once()
			return func(w http.ResponseWriter, r *http.Request) {
				if !isPackage(r) || !first(r.URL.Path) {
					files.ServeHTTP(w, r)
					return
				}
				w.Header().Set("Content-Length", "100000")
				w.Write(make([]byte, 700)) // and not even the right bytes: no Range without a validator
				panic(http.ErrAbortHandler)
			}
		}, 0},
		{"one form of the summary is missing", func(files http.Handler) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, ".zst") || strings.HasSuffix(r.URL.Path, ".xz") {
					http.NotFound(w, r)
					return
				}
				files.ServeHTTP(w, r)
			}
		}, 0},
		{"elsewhere", func(files http.Handler) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				path, moved := strings.CutPrefix(r.URL.Path, "/moved")
				if isPackage(r) && !moved {
					http.Redirect(w, r, "/moved"+path, http.StatusFound)
					return
				}
				r.URL.Path = path
				files.ServeHTTP(w, r)
			}
		}, 0},
		{"a package is missing", func(files http.Handler) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "openssl-3.3.2.tgz") {
					http.NotFound(w, r)
					return
				}
				files.ServeHTTP(w, r)
			}
		}, fault.Network},
		{"a package is altered", func(files http.Handler) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "openssl-3.3.2.tgz") {
					b, err := os.ReadFile(filepath.Join(fixture, "SmartOS", repo2024, "All", "openssl-3.3.2.tgz"))
					if err != nil {
						panic(err)
					}
					b[len(b)-200] ^= 1
					w.Write(b)
					return
				}
				files.ServeHTTP(w, r)
			}
		}, fault.Policy},
		{"gone", func(http.Handler) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "down", http.StatusBadGateway) }
		}, fault.Network},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(tt.wrap(http.FileServer(http.Dir(filepath.Join(fixture, "SmartOS", repo2024, "All")))))
			defer server.Close()
			client := &fetch.Client{Retries: 2, Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
			set, err := repository.OpenSet([]string{server.URL}, repository.Options{Client: client, CacheDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			overHTTP := func(o *Options) { o.Repos = set }

			// pkg_add on a bare system.
			r := newRig(t)
			r.verify("always")
			before := r.listing()
			in := r.installer(repo2024, overHTTP)
			err = in.Add(t.Context(), []string{"openssl", "coreutils", "curl", "gsed", "patch", "sudo"})
			if tt.fails != 0 {
				if err == nil || fault.KindOf(err) != tt.fails {
					t.Fatalf("kind %d, want %d: %v", fault.KindOf(err), tt.fails, err)
				}
				if got := r.listing(); len(got) != len(before) {
					t.Errorf("half installed: %d objects, before %d", len(got), len(before))
				}
				return
			}
			r.must(err)
			r.must(in.Finish(t.Context()))
			r.compareInfo(in, "install-2024Q4")

			// full-upgrade of an older system.
			r = newRig(t)
			r.before()
			r.verify("always")
			in = r.installer(repo2024, overHTTP)
			r.must(in.FullUpgrade(t.Context()))
			r.must(in.Finish(t.Context()))
			r.compareTree("upgrade-pkgin-26.4.0")
		})
	}
}
