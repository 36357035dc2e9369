package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/redact"
)

// Info tells what came.
type Info struct {
	URL          string // after redirects, without secrets
	Size         int64
	SHA256       string // hex
	ETag         string
	LastModified string
}

// GetFile fetches url into the file dst, which appears only when it is complete
// and is what want says; its directory must exist. A download that was cut
// continues where it stopped, in this call and in the next one for the same dst,
// if the file is still the same there. A missing file is fs.ErrNotExist.
func (c *Client) GetFile(ctx context.Context, url, dst string, want Expect) (Info, error) {
	d, err := c.download(ctx, url, filepath.Dir(dst), "", want, nil)
	if err != nil {
		return Info{}, err
	}
	defer d.drop()
	if !want.digested() { // nobody can tell later that it is not what came
		err = flush(d.path())
	}
	if err == nil {
		err = os.Rename(d.path(), dst)
	}
	if err != nil {
		return Info{}, fault.Step.Errorf("fetching %s: %w", redact.Address(url), err)
	}
	return d.info, nil
}

func flush(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = f.Sync()
	return errors.Join(err, f.Close())
}

// download is one file on its way. It lives in a directory of its own, so that
// the file and what is known of it move together.
type download struct {
	c       *Client
	url     string
	parent  string // of dir
	spare   string // taken where parent cannot be written; "": that is an error
	spared  error  // why spare was taken
	dir     string // .engbld-get-*
	f       *os.File
	want    Expect
	cond    http.Header // for the first request
	sum     *checker
	info    Info // Size is what the server says until it is all there, 0 where it does not
	resumed bool // some of it came by an earlier request
	cut     bool // what came so far is good, but not all
	same    bool // the server says that what cond names is current
}

const (
	dataName = "data"
	metaName = "meta.json"
)

// download fetches into a new directory below parent. On success the caller
// moves the file away and drops the rest. cond are header lines for a
// conditional request; then the result can be same, without a file. Where parent
// may not be written, spare is used; the result tells why in spared.
func (c *Client) download(ctx context.Context, url, parent, spare string, want Expect, cond http.Header) (*download, error) {
	if c.Offline {
		return nil, failure(ctx, url, ErrOffline)
	}
	d := &download{c: c, url: url, parent: parent, spare: spare, want: want, cond: cond, sum: newChecker(&want)}
	// What is most likely current needs no place to put it, unless a part waits.
	if _, err := os.Lstat(d.partName()); cond == nil || err == nil {
		// A place that may not be written matters only if something comes.
		if err := d.begin(); err != nil && !unwritable(err) {
			d.drop()
			return nil, failure(ctx, url, fault.Step.Wrap(err))
		}
	}
	err := c.retry(ctx, func() (int64, error) {
		err := d.try(ctx)
		return d.sum.size, err
	})
	if err == nil && !d.same {
		err = d.f.Close()
	}
	if err != nil {
		if !d.cut || !d.keep() {
			d.drop()
		}
		return nil, failure(ctx, url, err)
	}
	d.info.Size, d.info.SHA256 = d.sum.size, d.sum.sum()
	return d, nil
}

func (d *download) path() string { return filepath.Join(d.dir, dataName) }

// partName is where a cut download waits to be continued.
func (d *download) partName() string {
	return filepath.Join(d.parent, fmt.Sprintf(".engbld-part-%.24x", sha256.Sum256([]byte(d.url))))
}

// unwritable tells whether a place is one that only others may write to.
func unwritable(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}

func (d *download) begin() error {
	err := d.beginIn(d.parent)
	if err == nil || d.spare == "" || !unwritable(err) {
		return err
	}
	d.spared = err
	return d.beginIn(d.spare)
}

func (d *download) beginIn(parent string) (err error) {
	d.sum = newChecker(&d.want)
	if d.dir, err = os.MkdirTemp(parent, ".engbld-get-*"); err != nil {
		return err
	}
	if st, err := os.Stat(d.dir); err == nil {
		d.c.sweep(parent, st.ModTime())
	}
	// Whoever renames a waiting part first has it to himself. The new name must
	// be free for that.
	if err = os.Remove(d.dir); err != nil {
		return err
	}
	if parent == d.parent && os.Rename(d.partName(), d.dir) == nil {
		if d.adopt() {
			return nil
		}
	} else if err = os.Mkdir(d.dir, 0o700); err != nil {
		return err
	}
	d.sum, d.info = newChecker(&d.want), Info{}
	d.f, err = os.OpenFile(d.path(), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	return err
}

// adopt takes over what an earlier call left, if the server can tell later that
// it is still the same file.
func (d *download) adopt() bool {
	raw, err := os.ReadFile(filepath.Join(d.dir, metaName))
	if err != nil || json.Unmarshal(raw, &d.info) != nil || !d.comparable() {
		return false
	}
	if d.f, err = os.OpenFile(d.path(), os.O_RDWR, 0); err != nil {
		return false
	}
	if _, err = io.Copy(d.sum, io.LimitReader(d.f, d.want.limit()+1)); err != nil || d.sum.size > d.want.limit() {
		d.f.Close()
		return false
	}
	d.resumed = d.sum.size > 0
	d.cut = d.resumed
	return true
}

// keep leaves a part of some length for the next call.
func (d *download) keep() bool {
	if d.spared != nil || d.sum.size < enoughGain || !d.comparable() || d.f.Close() != nil {
		return false
	}
	meta, err := json.Marshal(d.info)
	return err == nil && os.WriteFile(filepath.Join(d.dir, metaName), meta, 0o644) == nil &&
		os.Rename(d.dir, d.partName()) == nil
}

func (d *download) drop() {
	if d.f != nil {
		d.f.Close()
	}
	if d.dir != "" {
		// One by one: that needs no descriptor, and they may be what has run out.
		os.Remove(d.path())
		os.Remove(filepath.Join(d.dir, metaName))
		if os.Remove(d.dir) != nil {
			os.RemoveAll(d.dir)
		}
	}
}

// comparable tells whether a later answer can be known to be of the same file: by
// its digest, a strong ETag, or its time and length together.
func (d *download) comparable() bool {
	return d.want.digested() || d.strongTag() != "" || d.info.LastModified != "" && d.info.Size > 0
}

// strongTag is the ETag if it stands for every byte.
func (d *download) strongTag() string {
	if strings.HasPrefix(d.info.ETag, "W/") {
		return ""
	}
	return d.info.ETag
}

// validator is what If-Range takes: a strong ETag, else the time of last change.
func (d *download) validator() string {
	if tag := d.strongTag(); tag != "" {
		return tag
	}
	return d.info.LastModified
}

// restart forgets what came so far.
func (d *download) restart() error {
	d.sum, d.resumed, d.cut, d.info = newChecker(&d.want), false, false, Info{}
	if err := d.f.Truncate(0); err != nil {
		return final(fault.Step.Wrap(err))
	}
	if _, err := d.f.Seek(0, io.SeekStart); err != nil {
		return final(fault.Step.Wrap(err))
	}
	return nil
}

// try sends one request and takes what comes.
func (d *download) try(ctx context.Context) error {
	header := http.Header{}
	if d.sum.size > 0 {
		if !d.comparable() {
			if err := d.restart(); err != nil {
				return err
			}
		}
		if v := d.validator(); v != "" {
			header.Set("If-Range", v)
		}
	}
	if d.sum.size > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", d.sum.size))
	} else if d.cond != nil {
		header = d.cond.Clone()
	}
	r, err := d.c.get(ctx, d.url, header)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	switch r.StatusCode {
	case http.StatusNotModified:
		if d.cond == nil {
			return final(statusError(r))
		}
		d.same = true
		return nil
	case http.StatusRequestedRangeNotSatisfiable:
		return d.again(fmt.Errorf("server %s has no bytes from %d", r.Request.URL.Host, d.sum.size))
	case http.StatusPartialContent, http.StatusOK:
		if d.f == nil {
			if err := d.begin(); err != nil {
				return final(fault.Step.Wrap(err))
			}
		}
		if r.StatusCode == http.StatusPartialContent {
			return d.resume(r)
		}
		if d.sum.size > 0 { // the server knows no ranges, or has another file by now
			if err := d.restart(); err != nil {
				return err
			}
		}
		d.describe(r)
		return d.take(r, r.ContentLength)
	}
	return statusError(r)
}

// again makes the next try start from nothing, if this one did not.
func (d *download) again(err error) error {
	d.cut = false
	if !d.resumed {
		return final(err)
	}
	if err := d.restart(); err != nil {
		return err
	}
	return err
}

func (d *download) describe(r *http.Response) {
	d.info = Info{URL: redact.Address(r.Request.URL.String()), ETag: r.Header.Get("ETag"), LastModified: r.Header.Get("Last-Modified"), Size: max(r.ContentLength, 0)}
}

// resume takes the rest of a file if it is the rest of the same one.
func (d *download) resume(r *http.Response) error {
	start, total, err := parseContentRange(r.Header.Get("Content-Range"))
	if err != nil || start != d.sum.size {
		d.resumed = true
		return d.again(fmt.Errorf("asked for bytes from %d, got %q", d.sum.size, r.Header.Get("Content-Range")))
	}
	d.resumed = true
	if d.sum.size == 0 { // though nobody asked for a part
		d.describe(r)
		d.info.Size = max(total, 0)
	} else if !d.sameFile(r.Header, total) {
		return d.again(errors.New("the file was changed while it was fetched"))
	}
	if total < 0 && d.info.Size > 0 {
		total = d.info.Size
	}
	return d.take(r, total)
}

// sameFile compares what an answer with a part says of the file with what the first
// one said: some servers know ranges, but not If-Range. Such an answer may leave the
// time out if If-Range was heeded, but not the ETag (RFC 9110 section 15.3.7), unless
// there is a digest to tell in the end.
func (d *download) sameFile(h http.Header, total int64) bool {
	tag, time := h.Get("ETag"), h.Get("Last-Modified")
	switch {
	case tag != "" && d.info.ETag != "" && tag != d.info.ETag,
		time != "" && d.info.LastModified != "" && time != d.info.LastModified,
		total >= 0 && d.info.Size > 0 && total != d.info.Size:
		return false
	case d.want.digested():
		return true
	case d.strongTag() != "":
		return tag != ""
	}
	return total >= 0
}

// parseContentRange reads "bytes 5-9/10"; total is -1 for "*".
func parseContentRange(s string) (start, total int64, err error) {
	bounds, size, ok := strings.Cut(strings.TrimPrefix(s, "bytes "), "/")
	first, _, ok2 := strings.Cut(bounds, "-")
	if !ok || !ok2 {
		return 0, 0, errors.New("bad Content-Range")
	}
	if total = -1; size != "*" {
		if total, err = strconv.ParseInt(size, 10, 64); err != nil {
			return 0, 0, err
		}
	}
	start, err = strconv.ParseInt(first, 10, 64)
	return start, total, err
}

// take writes the body behind what is there; total is the whole file's length,
// -1 where the server does not say.
func (d *download) take(r *http.Response, total int64) error {
	if total >= 0 {
		if d.want.Size > 0 && total != d.want.Size {
			return d.again(fmt.Errorf("has %d bytes, expected are %d", total, d.want.Size))
		}
		if total > d.want.limit() {
			return d.again(fmt.Errorf("has %d bytes, at most %d are fetched", total, d.want.limit()))
		}
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Body.Read(buf)
		if d.sum.size+int64(n) > d.want.limit() {
			return d.again(fmt.Errorf("has over %d bytes", d.want.limit()))
		}
		if _, werr := d.f.Write(buf[:n]); werr != nil {
			d.cut = false
			return final(fault.Step.Wrap(werr))
		}
		d.sum.Write(buf[:n])
		if d.c.Progress != nil && n > 0 {
			d.c.Progress(Progress{URL: redact.Address(d.url), Done: d.sum.size, Total: max(total, d.want.Size, 0)})
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			d.resumed, d.cut = true, true
			return err
		}
	}
	if want := max(total, d.want.Size); d.sum.size < want {
		d.resumed, d.cut = true, true
		return fmt.Errorf("cut after %d of %d bytes: %w", d.sum.size, want, io.ErrUnexpectedEOF)
	}
	if err := d.sum.check(); err != nil {
		return d.again(err)
	}
	return nil
}
