package sandbox

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
)

// list answers ListImages (spec imgapi.md section 5).
func (c *call) list() error {
	q := c.r.URL.Query()
	if q.Has("billing_tag") || q.Has("public") && q.Get("public") != "true" && q.Get("public") != "false" {
		c.die()
	}
	if err := c.account(); err != nil {
		return err
	}
	admin, err := c.admin()
	if err != nil {
		return err
	}
	channel, err := c.channel(true)
	if err != nil {
		return err
	}
	opts, err := c.listOptions(q)
	if err != nil {
		return err
	}
	all, err := c.state.all()
	if err != nil {
		return err
	}
	found := []*record{} // an empty list is [], not null
	for _, r := range all {
		if r.in(channel) && c.visible(r, q) && fits(r.Manifest, q) && r.Manifest.PublishedAt() >= opts.from {
			found = append(found, r)
		}
	}
	// The limit comes before the order, as in the real server.
	if opts.limit > 0 && len(found) > opts.limit {
		found = found[:opts.limit]
	}
	slices.SortStableFunc(found, func(a, b *record) int {
		n := cmp.Compare(a.Manifest.PublishedAt(), b.Manifest.PublishedAt())
		if opts.descending {
			return -n
		}
		return n
	})
	list := make([]json.RawMessage, len(found))
	for i, r := range found {
		list[i] = bytes.TrimSpace(r.manifest(c.v2, admin).Encode())
	}
	return c.json(list)
}

type listOptions struct {
	limit      int
	from       string
	descending bool
}

func (c *call) listOptions(q url.Values) (o listOptions, err error) {
	switch state := q.Get("state"); state {
	case "", "active", "disabled", "unactivated", "all", "creating", "failed":
	default:
		return o, invalidParameter("state", "invalid state: %q", state)
	}
	if s := q.Get("limit"); q.Has("limit") {
		if o.limit, err = strconv.Atoi(s); err != nil || o.limit < 0 {
			return o, invalidParameter("state", "invalid limit: %q: not a number", s) // the field is the server's slip
		}
	}
	switch s := q.Get("sort"); s {
	case "", "published_at", "published_at.asc":
	case "published_at.desc":
		o.descending = true
	default:
		return o, invalidParameter("sort", "invalid sort: %q", s)
	}
	if m := q.Get("marker"); q.Has("marker") {
		o.from, err = c.marker(m)
	}
	return o, err
}

// marker returns the time from which images are listed.
func (c *call) marker(m string) (string, error) {
	if !imgmanifest.ValidUUID(m) {
		for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05Z", "2006-01-02"} {
			if t, err := time.Parse(form, m); err == nil {
				return t.UTC().Format("2006-01-02T15:04:05Z"), nil
			}
		}
		return "", invalidParameter("marker", "invalid marker: %q, neither a UUID nor a date", m)
	}
	r, err := c.state.get(m)
	if errors.Is(err, fs.ErrNotExist) {
		return "", notFound("image %s not found", m)
	}
	if err != nil {
		return "", err
	}
	return r.Manifest.PublishedAt(), nil
}

// visible applies the filter state: without authorization only active images
// are ever listed.
func (c *call) visible(r *record, q url.Values) bool {
	want, state := cmp.Or(q.Get("state"), "active"), r.state()
	switch {
	case want == "all":
		return state == "active" || c.user != ""
	case want != "active" && c.user == "":
		return false
	}
	return state == want
}

func fits(m *imgmanifest.Manifest, q url.Values) bool {
	for key, values := range q {
		ok := true
		switch {
		case key == "name":
			ok = textFits(m.Name(), values)
		case key == "version":
			ok = textFits(m.Version(), values)
		case key == "owner":
			ok = m.Owner() == values[0]
		case key == "os":
			ok = m.OS() == values[0]
		case key == "type":
			other, not := strings.CutPrefix(values[0], "!")
			ok = (m.Type() == other) != not
		case key == "public":
			ok = strconv.FormatBool(m.Public()) == values[0]
		case strings.HasPrefix(key, "tag."):
			ok = tagFits(m, strings.TrimPrefix(key, "tag."), values[0])
		}
		if !ok {
			return false
		}
	}
	return true
}

// textFits: exact, or anywhere in it after ~; a repeated parameter fits nothing.
func textFits(s string, values []string) bool {
	if len(values) != 1 {
		return false
	}
	if part, ok := strings.CutPrefix(values[0], "~"); ok {
		return strings.Contains(s, part)
	}
	return s == values[0] && s != ""
}

// tagFits compares a tag as a string; objects and long values fit only an
// empty value, which asks for presence.
func tagFits(m *imgmanifest.Manifest, key, want string) bool {
	raw, ok := m.Tags()[key]
	if !ok {
		return false
	}
	value := string(raw)
	var s string
	if json.Unmarshal(raw, &s) == nil {
		value = s
	}
	if raw[0] == '{' || raw[0] == '[' || len(value) > 100 {
		return want == ""
	}
	return value == want
}

// sample is the answer to ping?error=CODE.
func sample(code string) error {
	status := map[string]int{
		"ValidationFailed": 422, "InvalidParameter": 422, "ImageFilesImmutable": 422, "ImageAlreadyActivated": 422,
		"NoActivationNoFile": 422, "OriginDoesNotExist": 422, "OriginIsNotActive": 422, "ImageHasDependentImages": 422,
		"OwnerDoesNotExist": 422, "AccountDoesNotExist": 422, "NotImageOwner": 422, "ImageNotShared": 422,
		"NotMantaPathOwner": 422, "InsufficientServerVersion": 422, "ImageUuidAlreadyExists": 409, "OperatorOnly": 403,
		"UnauthorizedError": 401, "ResourceNotFound": 404, "MethodNotAllowedError": 405, "Upload": 400, "Download": 400,
		"ImageFileTooBig": 400, "BadDigest": 400, "InvalidContent": 400, "InvalidVersion": 400, "InternalError": 500,
		"NotAvailable": 501, "NotImplemented": 400, "StorageIsDown": 503, "StorageUnsupported": 503,
		"RemoteSourceError": 503, "ServiceUnavailableError": 503,
	}[code]
	if status == 0 {
		return invalidParameter("error", "unknown error code: %q", code)
	}
	e := problem(status, code, "a sample of this error")
	if code == "ValidationFailed" || code == "InvalidParameter" {
		e.Errors = []imgmanifest.Item{{Field: "name", Code: "Invalid", Message: "a sample of an item"}}
	}
	if status == http.StatusMethodNotAllowed {
		e.Allow = "GET"
	}
	return e
}
