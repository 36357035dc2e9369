package imgapi

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/rest"
)

// Ping is the server's answer to a ping.
type Ping struct {
	Ping    string `json:"ping"`
	Version string `json:"version"`
	IMGAPI  bool   `json:"imgapi"`
	PID     int    `json:"pid,omitempty"`
	User    string `json:"user,omitempty"`    // the user as whom a signed ping was verified
	Sandbox bool   `json:"sandbox,omitempty"` // a sandbox's server says so
}

// Channel is one of the server's channels.
type Channel struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Default     bool   `json:"default,omitempty"`
}

// Ping asks whether the server is an image server, and as whom it sees us.
func (c *Client) Ping(ctx context.Context) (Ping, error) {
	r := request{method: http.MethodGet, path: "/ping", what: "ping"}
	body, err := c.getJSON(ctx, r, maxError)
	if err != nil {
		return Ping{}, err
	}
	var p Ping
	if err := json.Unmarshal(body, &p); err != nil || !p.IMGAPI {
		return Ping{}, c.wrap(r, fmt.Errorf("answer is not an image server's: %s", rest.Excerpt(body)))
	}
	return p, nil
}

// Channels returns the server's channels in its order. A server without
// channels answers fs.ErrNotExist.
func (c *Client) Channels(ctx context.Context) ([]Channel, error) {
	r := request{method: http.MethodGet, path: "/channels", what: "list channels"}
	body, err := c.getJSON(ctx, r, maxError)
	if err != nil {
		return nil, err
	}
	var list []Channel
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, c.wrap(r, fmt.Errorf("answer is not a list of channels: %w", err))
	}
	return list, nil
}

// Get returns an image's manifest. An image that is not in the client's
// channel is fs.ErrNotExist.
func (c *Client) Get(ctx context.Context, uuid string) (*imgmanifest.Manifest, error) {
	if err := checkUUID(uuid); err != nil {
		return nil, err
	}
	r := request{method: http.MethodGet, path: "/images/" + uuid, query: c.channelQuery(), what: "get image " + uuid}
	body, err := c.getJSON(ctx, r, maxManifest)
	if err != nil {
		return nil, err
	}
	m, err := imgmanifest.Parse(body)
	if err != nil {
		return nil, c.wrap(r, err)
	}
	if m.UUID() != uuid {
		return nil, c.wrap(r, fmt.Errorf("answer is image %q", m.UUID()))
	}
	return m, nil
}

const pageSize = 1000

// List returns the images that fit the filter, in the server's order: oldest
// first, unless a sort is given. Without a limit in the filter all pages are
// fetched; with one, a single request is made. Filters that would stop the
// server are refused before anything is sent (spec imgapi.md section 16). A list
// of more than 200,000 images or 256 MiB is an error.
func (c *Client) List(ctx context.Context, filter url.Values) ([]*imgmanifest.Manifest, error) {
	if err := checkFilter(filter); err != nil {
		return nil, err
	}
	query := c.channelQuery()
	maps.Copy(query, filter)
	room := listRoom{maxImages, maxList}
	page, err := c.page(ctx, query, &room)
	if err != nil || len(page) < pageSize || filter.Has("limit") {
		return page, err
	}
	all := page
	seen := make(map[string]bool, len(page))
	for _, m := range all {
		seen[m.UUID()] = true
	}
	query.Set("limit", strconv.Itoa(pageSize))
	for len(page) >= pageSize {
		marker := all[len(all)-1].UUID()
		query.Set("marker", marker)
		if page, err = c.page(ctx, query, &room); err != nil {
			return nil, err
		}
		fresh := 0
		for _, m := range page {
			// The marker's image, and those published with it, come again.
			if !seen[m.UUID()] {
				seen[m.UUID()] = true
				all = append(all, m)
				fresh++
			}
		}
		if fresh == 0 {
			break
		}
	}
	return all, nil
}

// listRoom is what the pages of a list may still have.
type listRoom struct {
	images int
	bytes  int64
}

func (c *Client) page(ctx context.Context, query url.Values, room *listRoom) ([]*imgmanifest.Manifest, error) {
	r := request{method: http.MethodGet, path: "/images", query: query, what: "list images"}
	body, err := c.getJSON(ctx, r, maxList)
	if err != nil {
		return nil, err
	}
	if room.bytes -= int64(len(body)); room.bytes < 0 {
		return nil, c.wrap(r, fmt.Errorf("list of more than %d bytes", maxList))
	}
	// One by one, so that no more are made than there is room for.
	d := json.NewDecoder(bytes.NewReader(body))
	list := []*imgmanifest.Manifest{}
	if start, err := d.Token(); start == nil && err == nil {
		return list, nil
	} else if start != json.Delim('[') {
		return nil, c.wrap(r, fmt.Errorf("answer is not a list of images: %s", rest.Excerpt(body)))
	}
	for ; d.More(); room.images-- {
		if room.images == 0 {
			return nil, c.wrap(r, fmt.Errorf("list of more than %d images", maxImages))
		}
		var m *imgmanifest.Manifest
		if err := d.Decode(&m); err != nil {
			return nil, c.wrap(r, fmt.Errorf("answer is not a list of images: %w", err))
		}
		if m == nil {
			return nil, c.wrap(r, fmt.Errorf("entry %d of the answer is null", len(list)))
		}
		list = append(list, m)
	}
	return list, nil
}

// checkFilter refuses what makes the real server exit.
func checkFilter(filter url.Values) error {
	if filter.Has("billing_tag") {
		return fault.Usage.Errorf("image list: the server cannot filter by billing_tag")
	}
	for _, v := range filter["public"] {
		if v != "true" && v != "false" {
			return fault.Usage.Errorf("image list: public=%q, must be true or false", v)
		}
	}
	return nil
}

// File is an image's file as it comes from the server. Read checks nothing but
// that as many bytes come as were announced.
type File struct {
	io.ReadCloser
	Size int64  // Content-Length, -1 where the server does not say
	MD5  string // lower-case hex of Content-MD5, "" where the server does not say
	ETag string // of a real server, the file's SHA-1
}

// File opens an image's file for reading; the caller closes it.
func (c *Client) File(ctx context.Context, uuid string) (*File, error) {
	if err := checkUUID(uuid); err != nil {
		return nil, err
	}
	r := request{method: http.MethodGet, path: "/images/" + uuid + "/file", query: c.channelQuery(), what: "get file of image " + uuid}
	var f *File
	err := c.do(ctx, r, func(resp *http.Response) error {
		f = &File{ReadCloser: bodyReader{resp.Body, c, r}, Size: resp.ContentLength, ETag: rest.Clean(resp.Header.Get("Etag"))}
		sum := resp.Header.Get("Content-Md5")
		if raw, err := base64.StdEncoding.DecodeString(sum); err == nil && len(raw) == md5.Size {
			f.MD5 = hex.EncodeToString(raw)
		} else if sum != "" {
			resp.Body.Close()
			return fmt.Errorf("header Content-MD5 %q is no MD5", rest.Clean(sum))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// bodyReader names server and request in errors of reading.
type bodyReader struct {
	io.ReadCloser
	c *Client
	r request
}

func (b bodyReader) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = b.c.wrap(b.r, rest.Readable(err))
	}
	return n, err
}

// HTTP returns the client that requests are sent with: for a downloader of its
// own, together with FileURL. It follows no redirects and adds no authorization.
func (c *Client) HTTP() *http.Client { return c.http }

// FileURL returns the address File reads.
func (c *Client) FileURL(uuid string) string {
	return c.endpoint(request{path: "/images/" + url.PathEscape(uuid) + "/file", query: c.channelQuery()})
}

func checkUUID(uuid string) error {
	if !imgmanifest.ValidUUID(uuid) {
		return fault.Usage.Errorf("%q is not an image uuid (lower-case hex, 8-4-4-4-12)", uuid)
	}
	return nil
}
