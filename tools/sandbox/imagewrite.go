package sandbox

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
)

// Changing requests (spec imgapi.md sections 4, 6, 7, 10 and 11).

func missingParameter(field string) error {
	e := problem(http.StatusUnprocessableEntity, "InvalidParameter", "missing parameter: %s", field)
	e.Errors = []imgmanifest.Item{{Field: field, Code: imgmanifest.CodeMissing}}
	return e
}

func invalidManifest(items ...imgmanifest.Item) error {
	return fromValidation(&imgmanifest.ValidationError{Code: imgmanifest.CodeValidation, Items: items})
}

func fromValidation(err error) error {
	var v *imgmanifest.ValidationError
	if !errors.As(err, &v) {
		return err
	}
	e := problem(http.StatusUnprocessableEntity, v.Code, "%s", v.Summary())
	e.Errors = v.Items
	return e
}

// body returns a JSON body. The real server dies where one is needed and the
// type or the body is missing.
func (c *call) body() ([]byte, error) {
	kind, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	raw, err := io.ReadAll(io.LimitReader(c.r.Body, imgmanifest.MaxSize+1))
	if err != nil || kind != "application/json" || len(raw) == 0 {
		c.die()
	}
	if len(raw) > imgmanifest.MaxSize {
		return nil, problem(http.StatusRequestEntityTooLarge, "RequestEntityTooLargeError", "body is too large")
	}
	if want := c.r.Header.Get("Content-Md5"); want != "" {
		if sum := md5.Sum(raw); want != base64.StdEncoding.EncodeToString(sum[:]) {
			return nil, problem(http.StatusBadRequest, "BadDigest", "Content-MD5 did not match")
		}
	}
	if !json.Valid(raw) {
		return nil, problem(http.StatusBadRequest, "InvalidContent", "Invalid JSON")
	}
	return raw, nil
}

func (c *call) manifestBody() (*imgmanifest.Manifest, error) {
	raw, err := c.body()
	if err != nil {
		return nil, err
	}
	m, err := imgmanifest.Parse(raw)
	if err != nil {
		return nil, problem(http.StatusBadRequest, "InvalidContent", "%v", err)
	}
	return m, nil
}

func (c *call) action(uuid string) error {
	if err := c.account(); err != nil {
		return err
	}
	switch action := c.r.URL.Query().Get("action"); action {
	case "import":
		return c.importImage(uuid)
	case "import-remote":
		return problem(http.StatusServiceUnavailable, "ServiceUnavailableError", "no workflow service")
	case "activate":
		return c.change(uuid, c.activate)
	case "disable", "enable":
		return c.change(uuid, func(r *record) error { r.Disabled = action == "disable"; return nil })
	case "update":
		return c.update(uuid)
	case "channel-add":
		return c.channelAdd(uuid)
	case "change-stor":
		return c.changeStor(uuid)
	case "export":
		return problem(http.StatusServiceUnavailable, "StorageUnsupported", "export needs manta storage")
	case "":
		return missingParameter("action")
	default:
		return invalidParameter("action", "%q is not a valid action", action)
	}
}

// change changes an image of the request's channel under the lock, and answers
// with its manifest.
func (c *call) change(uuid string, f func(*record) error) error {
	unlock, err := c.state.lock(c.changing())
	if err != nil {
		return err
	}
	defer unlock()
	r, err := c.find(uuid, false)
	if err != nil {
		return err
	}
	if err := f(r); err != nil {
		return err
	}
	if err := c.state.put(r); err != nil {
		return err
	}
	c.answer(r)
	return nil
}

// changing is the context of a change: it is carried out even if the client
// does not wait for the answer.
func (c *call) changing() context.Context { return context.WithoutCancel(c.r.Context()) }

func (c *call) answer(r *record) { c.send(http.StatusOK, r.manifest(c.v2, false)) }

func (c *call) importImage(uuid string) error {
	q := c.r.URL.Query()
	if q.Has("account") {
		return problem(http.StatusForbidden, "OperatorOnly", "\"action=import\" is only for operators")
	}
	if q.Has("source") {
		return problem(http.StatusServiceUnavailable, "RemoteSourceError", "the sandbox has no network")
	}
	m, err := c.manifestBody()
	if err != nil {
		return err
	}
	if m.UUID() != uuid {
		return invalidManifest(imgmanifest.Item{Field: "uuid", Code: imgmanifest.CodeInvalid,
			Message: fmt.Sprintf("manifest uuid, %q, does not match the one in the URL, %q", m.UUID(), uuid)})
	}
	return c.add(m, imgmanifest.ZeroUUID)
}

func (c *call) create() error {
	m, err := c.manifestBody()
	if err != nil {
		return err
	}
	if !imgmanifest.ValidUUID(m.Owner()) {
		c.die()
	}
	var extra []imgmanifest.Item
	for _, name := range []string{"uuid", "published_at"} {
		if _, ok := m.Get(name); ok {
			extra = append(extra, imgmanifest.Item{Field: name, Code: imgmanifest.CodeNotAllowed})
		}
	}
	if len(extra) > 0 {
		return fromValidation(&imgmanifest.ValidationError{Code: imgmanifest.CodeExtra, Items: extra})
	}
	if _, ok := m.Get("state"); ok {
		return invalidManifest(imgmanifest.Item{Field: "state", Code: imgmanifest.CodeNotAllowed})
	}
	if _, ok := m.Get("v"); !ok {
		if err := m.Set("v", 2); err != nil {
			return err
		}
	}
	if err := m.Set("uuid", uuid.NewString()); err != nil {
		return err
	}
	return c.add(m, m.Owner())
}

// add checks a new image's manifest and stores it, unactivated.
func (c *call) add(m *imgmanifest.Manifest, owner string) error {
	channel, err := c.channel(false)
	if err != nil {
		return err
	}
	disabled := string(mustGet(m, "disabled"))
	m.Delete("state", "files", "channels")
	if err := m.Set("owner", owner); err != nil {
		return err
	}
	if err := c.validate(m); err != nil {
		return err
	}
	m.Delete("disabled")
	unlock, err := c.state.lock(c.changing())
	if err != nil {
		return err
	}
	defer unlock()
	switch _, err := c.state.get(m.UUID()); {
	case err == nil:
		return problem(http.StatusConflict, "ImageUuidAlreadyExists", "image uuid \"%s\" already exists", m.UUID())
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if origin := m.Origin(); origin != "" {
		if _, err := c.state.get(origin); errors.Is(err, fs.ErrNotExist) {
			return problem(http.StatusUnprocessableEntity, "OriginDoesNotExist", "origin image \"%s\" does not exist", origin)
		} else if err != nil {
			return err
		}
	}
	r := &record{Manifest: m, Channels: []string{channel}, Disabled: strings.Trim(disabled, `"`) == "true"}
	if err := c.state.put(r); err != nil {
		return err
	}
	c.answer(r)
	return nil
}

// validate applies the rules of the schema and of a private server.
func (c *call) validate(m *imgmanifest.Manifest) error {
	if err := m.Validate(); err != nil {
		return fromValidation(err)
	}
	if m.Public() {
		return invalidManifest(imgmanifest.Item{Field: "public", Code: imgmanifest.CodeInvalid,
			Message: "public images are not allowed on a private Images API"})
	}
	return nil
}

func (c *call) activate(r *record) error {
	switch {
	case r.Activated:
		return problem(http.StatusUnprocessableEntity, "ImageAlreadyActivated", "image \"%s\" is already activated", r.Manifest.UUID())
	case r.File == nil:
		return problem(http.StatusUnprocessableEntity, "NoActivationNoFile", "image \"%s\" cannot be activated: no file", r.Manifest.UUID())
	}
	r.Activated = true
	if r.Manifest.PublishedAt() == "" {
		return r.Manifest.Set("published_at", c.now().UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	return nil
}

// updatable lists what action=update may set; early what it may before
// activation; operators' fields state and error are left out.
var (
	updatable = []string{"owner", "name", "version", "description", "homepage", "eula", "public", "os", "acl", "requirements",
		"users", "billing_tags", "traits", "tags", "generate_passwords", "inherited_directories", "nic_driver", "disk_driver",
		"cpu_type", "image_size", "channels"}
	early = []string{"uuid", "origin"}
)

func (c *call) update(uuid string) error {
	changes, err := c.manifestBody()
	if err != nil {
		return err
	}
	if len(changes.Keys()) == 0 {
		return invalidManifest()
	}
	return c.change(uuid, func(r *record) error {
		var refused []imgmanifest.Item
		for _, name := range changes.Keys() {
			// A changed uuid would move the image; nobody needs that here.
			if !slices.Contains(updatable, name) && (r.Activated || name == "uuid" || !slices.Contains(early, name)) {
				refused = append(refused, imgmanifest.Item{Field: name, Code: imgmanifest.CodeNotAllowed})
			}
		}
		if len(refused) > 0 {
			return invalidManifest(refused...)
		}
		for _, name := range changes.Keys() {
			value, _ := changes.Get(name)
			switch {
			case name == "channels":
				r.Channels = changes.Channels() // not checked, as in the real server
			case bytes.Equal(value, []byte("null")):
				r.Manifest.Delete(name)
			default:
				if err := r.Manifest.Set(name, value); err != nil {
					return err
				}
			}
		}
		return c.validate(r.Manifest)
	})
}

func (c *call) channelAdd(uuid string) error {
	raw, err := c.body()
	if err != nil {
		return err
	}
	var body struct {
		Channel string `json:"channel"`
	}
	if json.Unmarshal(raw, &body) != nil || body.Channel == "" {
		return missingParameter("channel")
	}
	return c.change(uuid, func(r *record) error {
		if !knownChannel(body.Channel) {
			e := problem(http.StatusUnprocessableEntity, "ValidationFailed", "unknown channel: %s", body.Channel)
			e.Errors = []imgmanifest.Item{{Field: "channel", Code: imgmanifest.CodeInvalid}}
			return e
		}
		if !r.in(body.Channel) {
			r.Channels = append(r.Channels, body.Channel)
		}
		return nil
	})
}

func (c *call) changeStor(uuid string) error {
	switch stor := c.r.URL.Query().Get("stor"); stor {
	case "local":
		return c.change(uuid, func(*record) error { return nil })
	case "manta":
		return problem(http.StatusServiceUnavailable, "StorageUnsupported", "no manta storage")
	case "":
		return missingParameter("stor")
	default:
		return invalidParameter("stor", "invalid storage: %q", stor)
	}
}

func (c *call) acl(uuid string) error {
	raw, err := c.body()
	if err != nil {
		return err
	}
	var accounts []string
	if json.Unmarshal(raw, &accounts) != nil || slices.ContainsFunc(accounts, func(s string) bool { return !imgmanifest.ValidUUID(s) }) {
		return invalidParameter("acl", "the body must be an array of uuids")
	}
	action := c.r.URL.Query().Get("action")
	if action != "add" && action != "remove" {
		return invalidParameter("action", "%q is not a valid action", action)
	}
	return c.change(uuid, func(r *record) error {
		var acl []string
		if raw, ok := r.Manifest.Get("acl"); ok {
			if err := json.Unmarshal(raw, &acl); err != nil {
				return err
			}
		}
		acl = slices.DeleteFunc(acl, func(s string) bool { return slices.Contains(accounts, s) })
		if action == "add" {
			acl = append(acl, accounts...)
		}
		if len(acl) == 0 {
			r.Manifest.Delete("acl")
			return nil
		}
		return r.Manifest.Set("acl", acl)
	})
}

// delete takes an image out of the request's channel, and out of the server
// with its last one. As in the real server only that channel is searched for
// images that need it.
func (c *call) delete(uuid string) error {
	unlock, err := c.state.lock(c.changing())
	if err != nil {
		return err
	}
	defer unlock()
	r, err := c.find(uuid, false)
	if err != nil {
		return err
	}
	channel, err := c.channel(false)
	if err != nil {
		return err
	}
	all, err := c.state.all()
	if err != nil {
		return err
	}
	var dependents []string
	for _, other := range all {
		if other.Manifest.Origin() == uuid && other.in(channel) {
			dependents = append(dependents, other.Manifest.UUID())
		}
	}
	if len(dependents) > 0 {
		return problem(http.StatusUnprocessableEntity, "ImageHasDependentImages", "image \"%s\" has %d dependent incremental image(s): %s",
			uuid, len(dependents), strings.Join(dependents, ", "))
	}
	r.Channels = slices.DeleteFunc(r.Channels, func(s string) bool { return s == channel })
	if len(r.Channels) == 0 || c.r.URL.Query().Get("force_all_channels") == "true" {
		err = c.state.remove(r)
	} else {
		err = c.state.put(r)
	}
	if err == nil {
		c.w.WriteHeader(http.StatusNoContent)
	}
	return err
}

// dumpState answers with what an operator debugs with.
func (c *call) dumpState() error {
	all, err := c.state.all()
	if err != nil {
		return err
	}
	return c.json(map[string]any{"images": len(all), "sandbox": true})
}
