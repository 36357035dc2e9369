package prebuilt

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fetch"
)

// store serves a directory of toolchains in pages of 256, as Manta does, and
// the CTF tools.
func store(t *testing.T, names []string, ctf []byte) (Source, *[]string) {
	t.Helper()
	var asked []string
	var mu sync.Mutex
	ask := func(name string) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, name)
	}
	mux := http.NewServeMux()
	mux.HandleFunc(goDir, func(w http.ResponseWriter, r *http.Request) {
		sent := 0
		for _, n := range names {
			if marker := r.FormValue("marker"); n < marker || sent == 256 {
				continue
			}
			sum := md5.Sum([]byte("content of " + n))
			fmt.Fprintf(w, `{"name":%q,"type":"object","size":%d,"contentMD5":%q}`+"\n", n, len(n)+11, base64.StdEncoding.EncodeToString(sum[:]))
			sent++
		}
	})
	mux.HandleFunc(goDir+"/{name}", func(w http.ResponseWriter, r *http.Request) {
		ask(r.PathValue("name"))
		io.WriteString(w, "content of "+strings.ReplaceAll(r.PathValue("name"), "1.99", "x.yz"))
	})
	mux.HandleFunc(ctfDir+"20181206T011455Z/latest", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "/there/1\n") })
	mux.HandleFunc("/there/1/ctftools.tar.gz", func(w http.ResponseWriter, r *http.Request) {
		ask("ctf")
		w.Write(ctf)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return Source{Client: &fetch.Client{Retries: -1}, URL: srv.URL + "/"}, &asked
}

func TestSecretsOfAddresses(t *testing.T) {
	t.Parallel()
	s, _ := store(t, []string{"go1.99.linux-amd64.tar.bz2"}, nil)
	var told strings.Builder
	s.URL = strings.Replace(s.URL, "http://", "http://ci:s3cret@", 1)
	s.Infof = func(format string, args ...any) { fmt.Fprintf(&told, format+"\n", args...) }
	for _, version := range []string{"1.99", "1.98"} {
		if _, err := s.Go(t.Context(), version, "linux", "amd64", t.TempDir()); err != nil {
			fmt.Fprintln(&told, err)
		}
	}
	if err := s.CTFTools(t.Context(), "20181206T011455Z", t.TempDir()); err != nil {
		fmt.Fprintln(&told, err)
	}
	if all := told.String(); strings.Contains(all, "s3cret") || strings.Count(all, "http://127.0.0.1:") < 3 {
		t.Error(all)
	}
}

func TestGo(t *testing.T) {
	t.Parallel()
	var names []string
	for i := range 600 {
		names = append(names, fmt.Sprintf("go0.%03d.illumos-amd64.tar.bz2", i))
	}
	names = append(names, "go1.12x1.solaris-amd64.tar.bz2", "go1.13.1.illumos-amd64.tar.bz2", "go1.13.1.solaris-amd64.tar.bz2", "go1.9.solaris-amd64.tar.bz2",
		"go1.99.illumos-amd64.tar.bz2")
	src, asked := store(t, names, nil)
	tests := []struct {
		version, goos, want string // want "": an error
	}{
		{"1.13.1", "illumosElseSolaris", "go1.13.1.illumos-amd64.tar.bz2"},
		{"1.13.1", "solaris", "go1.13.1.solaris-amd64.tar.bz2"},
		{"1.9", "illumosElseSolaris", "go1.9.solaris-amd64.tar.bz2"},
		{"1.12.1", "illumosElseSolaris", ""}, // a dot is no wildcard
		{"1.2", "illumos", ""},
		{"1.99", "illumos", ""}, // what comes is not what the listing says
		{"../1", "illumos", ""},
	}
	for _, tt := range tests {
		dir := filepath.Join(t.TempDir(), "a b")
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		got, err := src.Go(t.Context(), tt.version, tt.goos, "amd64", dir)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s %s: got %q, %v", tt.version, tt.goos, got, err)
			continue
		}
		entries, _ := os.ReadDir(dir)
		if err != nil {
			for _, e := range entries {
				if !strings.HasPrefix(e.Name(), ".engbld-") {
					t.Errorf("%s %s: %s was left", tt.version, tt.goos, e.Name())
				}
			}
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, "go-"+tt.version+".tar.bz2"))
		if err != nil || string(b) != "content of "+tt.want {
			t.Errorf("%s %s: %q, %v", tt.version, tt.goos, b, err)
		}
		before := len(*asked)
		if _, err := src.Go(t.Context(), tt.version, tt.goos, "amd64", dir); err != nil || len(*asked) != before {
			t.Errorf("%s %s: fetched again, %v", tt.version, tt.goos, err)
		}
	}
	if _, err := src.Go(t.Context(), "1.9", "solaris", "amd64", "/nosuch"); fault.KindOf(err) != fault.Usage {
		t.Errorf("no directory: %v", err)
	}
}

func TestCTFTools(t *testing.T) {
	t.Parallel()
	work := t.TempDir()
	if err := os.MkdirAll(filepath.Join(work, "bin/i386"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(work, "bin/i386/ctfconvert"), []byte("x"), 0o777); err != nil {
		t.Fatal(err)
	}
	ctf, err := exec.Command("tar", "-C", work, "-czf", "-", "bin").Output()
	if err != nil {
		t.Skip("tar:", err)
	}
	for name, archive := range map[string][]byte{"good": ctf, "cut": ctf[:len(ctf)/2]} {
		src, asked := store(t, nil, archive)
		dir := filepath.Join(t.TempDir(), "cache")
		for range 2 {
			err := src.CTFTools(t.Context(), "20181206T011455Z", dir)
			_, serr := os.Stat(filepath.Join(dir, "ctftools/bin/i386/ctfconvert"))
			if (err == nil) != (name == "good") || (serr == nil) != (name == "good") {
				t.Errorf("%s: %v, %v", name, err, serr)
			}
		}
		if want := map[string]int{"good": 1, "cut": 2}[name]; len(*asked) != want {
			t.Errorf("%s: fetched %d times, want %d", name, len(*asked), want)
		}
	}
	src, _ := store(t, nil, ctf)
	for _, platform := range []string{"20200101T000000Z", "../x", ""} {
		if err := src.CTFTools(t.Context(), platform, t.TempDir()); err == nil {
			t.Errorf("platform %q: no error", platform)
		}
	}
}

// Several processes may prepare one directory at once.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	work := t.TempDir()
	if err := os.WriteFile(filepath.Join(work, "tool"), []byte("x"), 0o777); err != nil {
		t.Fatal(err)
	}
	ctf, err := exec.Command("tar", "-C", work, "-czf", "-", "tool").Output()
	if err != nil {
		t.Skip("tar:", err)
	}
	const name = "go1.13.1.illumos-amd64.tar.bz2"
	src, asked := store(t, []string{name}, ctf)
	dir := t.TempDir()
	var g sync.WaitGroup
	for range 8 {
		g.Go(func() {
			if got, err := src.Go(t.Context(), "1.13.1", "illumos", "amd64", dir); got != name || err != nil {
				t.Errorf("Go: %q, %v", got, err)
			}
			if err := src.CTFTools(t.Context(), "20181206T011455Z", dir); err != nil {
				t.Errorf("CTF tools: %v", err)
			}
		})
	}
	g.Wait()
	if len(*asked) != 2 {
		t.Errorf("fetched: %q", *asked)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".engbld-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"1.2"}, {"1.2", "illumos", "amd64", "nosuch"}} {
		cmd := GoCommand(Source{})
		cmd.SetArgs(args)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		if err := cmd.ExecuteContext(context.Background()); fault.KindOf(err) != fault.Usage {
			t.Errorf("%q: %v", args, err)
		}
	}
}
