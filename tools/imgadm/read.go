package imgadm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/TritonDataCenter/engbld/tools/imgapi"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/newfile"
	"github.com/TritonDataCenter/engbld/tools/release"
)

func (a *app) get(ctx context.Context) error {
	uuid, err := a.one("image uuid")
	if err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	ask := c.Get
	if a.flags.has("admin") {
		ask = c.GetAdmin
	}
	m, err := ask(ctx, uuid)
	if err != nil {
		return err
	}
	raw, err := m.MarshalJSON()
	if err != nil {
		return err
	}
	return a.writeJSON(raw)
}

func getFileOptions() []option {
	return []option{
		{"output", "o", true, "the file to write; - is stdout"},
		{"remote-name", "O", false, "write to UUID-file.EXTENSION"},
		{"quiet", "q", false, "no progress"},
	}
}

func (a *app) getFile(ctx context.Context) error {
	uuid, err := a.one("image uuid")
	if err != nil {
		return err
	}
	output, named := a.flags.get("output")
	if named && a.flags.has("remote-name") {
		return usagef("-o and -O exclude each other")
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	m, err := c.Get(ctx, uuid)
	if err != nil {
		return err
	}
	files := m.Files()
	if len(files) == 0 {
		return coded("ResourceNotFound", "image %s has no file", uuid)
	}
	if a.flags.has("remote-name") {
		output = uuid + "-file" + map[string]string{"gzip": ".gz", "bzip2": ".bz2", "xz": ".xz"}[files[0].Compression]
	} else if stdout := !named || output == "-"; stdout || !newfile.Replaces(a.path(output)) {
		f, err := c.File(ctx, uuid)
		if err != nil {
			return err
		}
		defer f.Close()
		write := func(w io.Writer) error { return release.Verified(f, uuid, c.Server(), files[0], w, nil) }
		if stdout {
			return downloadError(write(a.Stdout))
		}
		return downloadError(newfile.Output(a.path(output), 0o644, write))
	}
	if err := release.Download(ctx, c, uuid, files[0], a.path(output), nil); err != nil {
		return downloadError(err)
	}
	fmt.Fprintf(a.Stderr, "Saved \"%s\".\n", output)
	return nil
}

// downloadError is the genuine tools' code for a file that is not what it
// should be; an answer of the server keeps its own.
func downloadError(err error) error {
	var e *imgapi.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return &codedError{"DownloadError", err}
}

func (a *app) ping(ctx context.Context) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	p, err := c.Ping(ctx)
	if err != nil {
		return err
	}
	raw, err := marshal(p)
	if err != nil {
		return err
	}
	return a.writeJSON(raw)
}

// readManifest reads a manifest from a file, or stdin.
func (a *app) readManifest(name string) (*imgmanifest.Manifest, error) {
	raw, err := a.readInput(name)
	if err != nil {
		return nil, err
	}
	m, err := imgmanifest.Parse(raw)
	if err != nil {
		return nil, &codedError{"InvalidManifestData", fmt.Errorf("%s: %w", displayName(name), err)}
	}
	return m, nil
}

func displayName(name string) string {
	if name == "" || name == "-" {
		return "stdin"
	}
	return name
}

func (a *app) readInput(name string) ([]byte, error) {
	in := a.Stdin
	if name != "" && name != "-" {
		f, err := os.Open(a.path(name))
		if err != nil {
			return nil, usagef("%v", err)
		}
		defer f.Close()
		in = f
	}
	if in == nil {
		return nil, usagef("stdin is needed")
	}
	raw, err := readAtMost(in, imgmanifest.MaxSize)
	if err != nil {
		return nil, coded("InvalidManifestData", "%s: %w", displayName(name), err)
	}
	return raw, nil
}

// debugTransport tells of each request, a JSON line each, without headers and
// without what could be a secret.
type debugTransport struct {
	base     http.RoundTripper
	out      interface{ Write([]byte) (int, error) }
	now      func() time.Time
	insecure bool
}

func (t *debugTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	base := t.base
	if base == nil {
		base = imgapi.NewTransport(t.insecure)
	}
	start := t.now()
	resp, err := base.RoundTrip(r)
	line := struct {
		Time   string `json:"time"`
		Name   string `json:"name"`
		Method string `json:"method"`
		Path   string `json:"path"`
		Query  string `json:"query,omitempty"`
		Status int    `json:"status,omitempty"`
		ID     string `json:"request_id,omitempty"`
		Millis int64  `json:"ms"`
	}{start.UTC().Format("2006-01-02T15:04:05.000Z"), "imgadm", r.Method, r.URL.Path, r.URL.RawQuery, 0, "", t.now().Sub(start).Milliseconds()}
	if resp != nil {
		line.Status, line.ID = resp.StatusCode, resp.Header.Get("X-Request-Id")
	}
	if raw, merr := marshal(line); merr == nil {
		_, _ = t.out.Write(append(raw, '\n'))
	}
	return resp, err
}
