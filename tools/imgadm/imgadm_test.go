package imgadm_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"encoding/hex"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/imgadm"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/sandbox"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
)

var update = flag.Bool("update", false, "write the golden files")

// tester runs command lines against a server.
type tester struct {
	t     *testing.T
	url   string
	env   map[string]string
	as    string
	stdin string
	dir   string
	tr    http.RoundTripper
}

func start(t *testing.T, o sandbox.Options) *tester {
	t.Helper()
	o.Dir = t.TempDir()
	o.Now = func() time.Time { return time.Now() }
	s, err := sandbox.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	user, file, err := s.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &tester{t: t, url: s.ImageURL(), as: "updates", dir: t.TempDir(), env: map[string]string{
		"UPDATES_IMGADM_URL": s.ImageURL(), "UPDATES_IMGADM_USER": user, "UPDATES_IMGADM_IDENTITY": file,
		"IMAGES_IMGADM_URL": s.ImageURL(), "IMAGES_IMGADM_USER": user, "IMAGES_IMGADM_IDENTITY": file,
	}}
}

var requestID = regexp.MustCompile(`(?m)^request: .*\n`)

// run runs a command line; addresses become SERVER, request ids are dropped.
func (x *tester) run(args ...string) (stdout, stderr string, code int) {
	x.t.Helper()
	var out, errs bytes.Buffer
	code = imgadm.Run(x.t.Context(), imgadm.Deps{
		Getenv: func(k string) string { return x.env[k] }, Stdin: strings.NewReader(x.stdin), Stdout: &out, Stderr: &errs, Now: time.Now,
		Path:      func(p string) string { return filepath.Join(x.dir, p) },
		Transport: x.tr, Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}, x.as, args)
	clean := func(b bytes.Buffer) string {
		return requestID.ReplaceAllString(strings.ReplaceAll(b.String(), x.url, "SERVER"), "")
	}
	return clean(out), clean(errs), code
}

// ok runs a command line that must succeed silently and print want.
func (x *tester) ok(want string, args ...string) {
	x.t.Helper()
	out, errs, code := x.run(args...)
	if code != 0 || out != want || errs != "" {
		x.t.Errorf("%q: code %d, stderr %q\n%s", args, code, errs, cmp.Diff(want, out))
	}
}

// fails runs a command line that must fail with an error of which the first lines are want.
func (x *tester) fails(want string, args ...string) {
	x.t.Helper()
	out, errs, code := x.run(args...)
	if code != 1 || out != "" || !strings.HasPrefix(errs, want) {
		x.t.Errorf("%q: code %d, stdout %q, stderr %q", args, code, out, errs)
	}
}

func uuidOf(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// write writes a manifest n.json and a file n.zfs.gz.
func (x *tester) write(n int, more string) {
	x.t.Helper()
	text := fmt.Sprintf("file of image %d", n)
	sum := sha1.Sum([]byte(text))
	m := fmt.Sprintf(`{"v":2,"uuid":%q,"owner":%q,"name":"demo-%d","version":"1.0.%d","type":"zone-dataset","os":"smartos",
		"files":[{"sha1":%q,"size":%d,"compression":"gzip"}]%s}`, uuidOf(n), imgmanifest.ZeroUUID, n, n, hex.EncodeToString(sum[:]), len(text), more)
	x.file(fmt.Sprintf("%d.json", n), m)
	x.file(fmt.Sprintf("%d.zfs.gz", n), text)
}

func (x *tester) file(name, text string) {
	x.t.Helper()
	if err := os.WriteFile(filepath.Join(x.dir, name), []byte(text), 0o644); err != nil {
		x.t.Fatal(err)
	}
}

// publish imports image n into a channel.
func (x *tester) publish(channel string, n int, more string) {
	x.t.Helper()
	x.write(n, more)
	if out, errs, code := x.run("-C", channel, "import", "-m", fmt.Sprintf("%d.json", n), "-f", fmt.Sprintf("%d.zfs.gz", n)); code != 0 {
		x.t.Fatalf("%s%s", out, errs)
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	x := start(t, sandbox.Options{})
	x.write(1, "")
	imported := "Imported image " + uuidOf(1) + " (demo-1, 1.0.1, state=unactivated)\n"
	whole := imported + "Added file \"1.zfs.gz\" (compression \"gzip\") to image " + uuidOf(1) + "\nActivated image " + uuidOf(1) + "\n"
	x.ok(whole, "import", "-m", "1.json", "-f", "1.zfs.gz", "-q", "-C", "experimental")
	x.ok("Image "+uuidOf(1)+" (demo-1, 1.0.1, state=active) is there already\n", "-C", "experimental", "import", "-m", "1.json", "-f", "1.zfs.gz")
	x.fails("updates-imgadm: error (ImageUuidAlreadyExists): image uuid \""+uuidOf(1)+"\" already exists\n", "-C", "experimental", "import", "-m", "1.json")
	// The manifest may name the compression alone.
	x.file("10.json", `{"v":2,"uuid":"`+uuidOf(10)+`","name":"demo","version":"1","type":"other","os":"other","files":[{"compression":"none"}]}`)
	x.ok("Imported image "+uuidOf(10)+" (demo, 1, state=unactivated)\nAdded file \"1.zfs.gz\" (compression \"none\") to image "+uuidOf(10)+
		"\nActivated image "+uuidOf(10)+"\n", "import", "-m", "10.json", "-f", "1.zfs.gz")
	// -c is the compression, and the channel stays.
	x.write(2, "")
	raw, err := os.ReadFile(filepath.Join(x.dir, "2.json"))
	if err != nil {
		t.Fatal(err)
	}
	x.stdin = string(raw)
	x.ok("Imported image "+uuidOf(2)+" (demo-2, 1.0.2, state=unactivated)\n", "import", "--channel=staging")
	x.ok("Added file \"2.zfs.gz\" (compression \"none\") to image "+uuidOf(2)+"\n", "add-file", uuidOf(2), "-f", "2.zfs.gz", "-c", "none", "--chan", "staging")
	x.ok("Activated image "+uuidOf(2)+"\n", "-Cstaging", "activate", uuidOf(2))
	x.fails("updates-imgadm: error (ImageAlreadyActivated): ", "-Cstaging", "activate", uuidOf(2))
	x.fails("updates-imgadm: error (ImageFilesImmutable): ", "-Cstaging", "add-file", uuidOf(2), "-f", "2.zfs.gz")
	x.fails("updates-imgadm: error (ResourceNotFound): image not found\n", "activate", uuidOf(2))
	// The origin is elsewhere: it works, with a warning.
	x.write(3, `,"origin":"`+uuidOf(2)+`"`)
	if _, errs, code := x.run("import", "-m", "3.json", "-f", "3.zfs.gz"); code != 0 ||
		errs != "updates-imgadm: warning: its origin "+uuidOf(2)+" is not active in the default channel, so the image cannot be installed from there\n" {
		t.Errorf("code %d, %q", code, errs)
	}
	// Refusals.
	x.file("bad.json", `{"v":2,"uuid":"`+uuidOf(9)+`","name":"demo","type":"zone-dataset","os":"plan9"}`)
	x.fails("updates-imgadm: error (ValidationFailed): invalid image data: version, os\n    version: MissingParameter\n    os: Invalid: invalid image os, \"plan9\", must be one of: smartos, linux, windows, bsd, illumos, other\n",
		"import", "-m", "bad.json")
	x.file("junk.json", "{")
	x.fails("updates-imgadm: error (InvalidManifestData): junk.json: ", "import", "-m", "junk.json")
	x.write(4, `,"origin":"`+uuidOf(99)+`"`)
	x.fails("updates-imgadm: error (OriginDoesNotExist): ", "import", "-m", "4.json", "-f", "4.zfs.gz")
	x.write(5, "")
	x.file("5.zfs.gz", "spoiled")
	x.fails("updates-imgadm: error (ClientError): ", "import", "-m", "5.json", "-f", "5.zfs.gz")
	x.write(6, "")
	x.fails("updates-imgadm: error (UploadError): the sha1 of \"6.zfs.gz\" is ", "import", "-m", "6.json", "-f", "6.zfs.gz", "-s", strings.Repeat("0", 40))
	x.fails("updates-imgadm: error (Usage): ", "import", "-m", "6.json", "-f", "none.zfs.gz")
	x.fails("updates-imgadm: error (Usage): ", "import", "-m", "6.json", "-f", "http://h.test/x.gz?signature=secret")
	x.fails("updates-imgadm: error (ValidationFailed): unknown channel: nowhere\n    channel: Invalid\n", "-C", "nowhere", "import", "-m", "6.json")
	x.file("7.json", `{"v":2,"uuid":"`+uuidOf(7)+`","name":"demo","version":"1","type":"other","os":"other"}`)
	x.file("7", "x")
	x.fails("updates-imgadm: error (Usage): could not determine file compression of \"7\"", "import", "-m", "7.json", "-f", "7")
	if _, errs, _ := x.run("import", "-m", "7.json", "-f", "https://h.test/x?signature=secret.gz"); strings.Contains(errs, "secret") || !strings.Contains(errs, "could not determine") {
		t.Errorf("%q", errs)
	}
}

func TestImportFromURL(t *testing.T) {
	t.Parallel()
	objects := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "file of image 1") }))
	defer objects.Close()
	x := start(t, sandbox.Options{Remote: objects.Client().Transport})
	x.write(1, "")
	x.ok("Imported image "+uuidOf(1)+" (demo-1, 1.0.1, state=unactivated)\nAdded file from url \""+objects.URL+"/1.zfs.gz\" (compression \"gzip\") to image "+
		uuidOf(1)+"\nActivated image "+uuidOf(1)+"\n", "import", "-m", "1.json", "-f", objects.URL+"/1.zfs.gz?signature=secret")
}

func TestImportFromSource(t *testing.T) {
	t.Parallel()
	from, x := start(t, sandbox.Options{}), start(t, sandbox.Options{})
	from.publish("release", 1, "")
	from.publish("release", 2, `,"origin":"`+uuidOf(1)+`"`)
	out, errs, code := x.run("import", uuidOf(2), "-S", from.url)
	if code != 0 || out != "Imported image "+uuidOf(2)+" (demo-2, 1.0.2, state=active)\n" ||
		errs != "copied image "+uuidOf(1)+" (demo-1@1.0.1)\ncopied image "+uuidOf(2)+" (demo-2@1.0.2)\n" {
		t.Errorf("code %d\n%s%s", code, out, errs)
	}
	x.fails("updates-imgadm: error (ResourceNotFound): ", "import", uuidOf(7), "-S", from.url)
	x.fails("updates-imgadm: error (Usage): ", "import", uuidOf(7), "-S", from.url, "-f", "x")
}

func TestChanges(t *testing.T) {
	t.Parallel()
	x := start(t, sandbox.Options{})
	u := uuidOf(1)
	x.publish("dev", 1, `,"tags":{"a":"b"}`)
	x.publish("dev", 2, `,"origin":"`+u+`"`)
	x.ok("Disabled image "+u+"\n", "disable", u)
	x.ok("Enabled image "+u+" (state is now \"active\")\n", "enable", u)
	x.ok("Update image "+u+" (demo-1, 2.0, state=active)\n", "update", u, "version=2.0-x", "version=\"2.0\"", "tags.n=1", "tags.a=", "description=some text")
	out, _, _ := x.run("get", u)
	m, err := imgmanifest.Parse([]byte(out))
	if err != nil {
		t.Fatal(err)
	}
	if tags, _ := m.Get("tags"); string(tags) != `{"n":1}` || m.Description() != "some text" {
		t.Errorf("%s", out)
	}
	x.stdin = `{"description":null}`
	x.ok("Update image "+u+" (demo-1, 2.0, state=active)\n", "update", u, "-f", "-")
	x.fails("updates-imgadm: error (ValidationFailed): ", "update", u, "type=zvol")
	x.fails("updates-imgadm: error (Usage): ", "update", u, "channels=[\"x\"]")
	x.fails("updates-imgadm: error (Usage): ", "update", u)
	x.fails("updates-imgadm: error (Usage): ", "update", u, "novalue")
	x.ok("Added image "+u+" (demo-1@2.0) to \"release\" channel\nAdded image "+uuidOf(2)+" (demo-2@1.0.2) to \"release\" channel\n", "channel-add", "release", u, uuidOf(2))
	x.ok("", "channel-add", "release")
	x.fails("updates-imgadm: error (Usage): ", "channel-add")
	x.fails("Error adding image "+uuidOf(8)+" to \"release\" channel\nError adding image "+uuidOf(9)+" to \"release\" channel\n"+
		"updates-imgadm: error (MultiError): multiple (2) errors\n    error (ResourceNotFound): image "+uuidOf(8)+" not found\n", "channel-add", "release", uuidOf(8), uuidOf(9))
	x.fails("Error adding image "+u+" to \"nowhere\" channel\nupdates-imgadm: error (ValidationFailed): unknown channel: nowhere\n    channel: Invalid\n", "channel-add", "nowhere", u)
	x.ok("Updated ACL of image "+u+" (demo-1, 2.0)\n", "add-acl", u, "11111111-2222-4333-8444-555555555555")
	x.ok("Updated ACL of image "+u+" (demo-1, 2.0)\n", "remove-acl", u, "11111111-2222-4333-8444-555555555555")
	x.fails("updates-imgadm: error (Usage): ", "add-acl", u)
	x.fails("updates-imgadm: error (ImageHasDependentImages): ", "delete", u)
	x.ok("Deleted image "+uuidOf(2)+" from \"release\" channel\n", "-C", "release", "delete", uuidOf(2))
	x.ok("Deleted image "+uuidOf(2)+" from default channel\n", "delete", uuidOf(2))
	x.ok("Deleted image "+u+"\n", "delete", "--force-all", u)
	x.fails("updates-imgadm: error (ResourceNotFound): image "+u+" not found\n", "delete", u)
	x.ok("Reloaded auth keys\n", "reload-auth-keys")
}

func TestGetFile(t *testing.T) {
	t.Parallel()
	faults := new(sandbox.Faults)
	x := start(t, sandbox.Options{Faults: faults})
	x.publish("dev", 1, "")
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(x.dir, name))
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	x.ok("file of image 1", "get-file", uuidOf(1))
	for _, args := range [][]string{{"-o", "out"}, {"-O"}} {
		name := "out"
		if args[0] == "-O" {
			name = uuidOf(1) + "-file.gz"
		}
		out, errs, code := x.run(append([]string{"get-file", "-q", uuidOf(1)}, args...)...)
		if code != 0 || out != "" || errs != "Saved \""+name+"\".\n" || read(name) != "file of image 1" {
			t.Errorf("%q: code %d %q %q", args, code, out, errs)
		}
	}
	link := filepath.Join(x.dir, "link")
	if err := os.Symlink("linked", link); err != nil {
		t.Fatal(err)
	}
	x.ok("", "get-file", uuidOf(1), "-o", "link")
	if _, err := os.Readlink(link); err != nil || read("linked") != "file of image 1" {
		t.Errorf("a link, as /dev/stdout is one, was replaced: %v", err)
	}
	faults.Add(sandbox.Fault{Path: "/images/*/file", Corrupt: 3})
	x.fails("updates-imgadm: error (DownloadError): ", "get-file", uuidOf(1), "-o", "bad")
	if _, errs, code := x.run("get-file", uuidOf(1)); code != 1 || !strings.HasPrefix(errs, "updates-imgadm: error (DownloadError): ") {
		t.Errorf("to stdout: code %d %q", code, errs)
	}
	if _, err := os.Stat(filepath.Join(x.dir, "bad")); err == nil {
		t.Error("a spoiled file got its name")
	}
}

// formatServer answers with images of all kinds and remembers what was asked.
func formatServer(t *testing.T) (*httptest.Server, *[]string) {
	t.Helper()
	asked := new([]string)
	const zero, other = imgmanifest.ZeroUUID, "22222222-2222-4333-8444-555555555555"
	list := `[
{"v":2,"uuid":"` + uuidOf(1) + `","owner":"` + zero + `","name":"base","version":"1.0","state":"active","disabled":false,"public":true,"published_at":"2024-01-02T03:04:05.123Z","type":"zone-dataset","os":"smartos","files":[{"sha1":"x","size":1000,"compression":"gzip","stor":"local"}],"tags":{"a":"<b>"},"channels":["dev","staging"]},
{"v":2,"uuid":"` + uuidOf(2) + `","owner":"` + zero + `","name":"app","version":"2.0","state":"active","disabled":false,"public":false,"published_at":"2024-01-03T03:04:05Z","type":"zone-dataset","os":"smartos","files":[{"sha1":"x","size":20,"compression":"gzip"}],"origin":"` + uuidOf(1) + `","description":"an app","channels":["dev"]},
{"v":2,"uuid":"` + uuidOf(3) + `","owner":"` + zero + `","name":"app","version":"1.9","state":"disabled","disabled":true,"public":false,"published_at":"2024-01-03T03:04:05.500Z","type":"zvol","os":"linux","nic_driver":"virtio","disk_driver":"virtio","cpu_type":"host","image_size":10240,"files":[],"origin":"` + uuidOf(1) + `","channels":[]},
{"v":2,"uuid":"` + uuidOf(4) + `","owner":"` + other + `","name":"app","version":"0.1","state":"unactivated","disabled":false,"public":false,"type":"lx-dataset","os":"linux","image_size":900,"homepage":"http://h.test/","urn":"a:b:c","generate_passwords":true,"origin":"` + uuidOf(9) + `"},
{"v":2,"uuid":"` + uuidOf(5) + `","owner":"` + zero + `","name":"leaf","version":"10","description":"","state":"active","disabled":false,"public":false,"published_at":"2024-01-04T03:04:05Z","type":"zone-dataset","os":"smartos","origin":"` + uuidOf(2) + `"}
]`
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.URL.RequestURI())
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.URL.Path == "/channels":
			io.WriteString(w, `[{"name":"experimental","description":"feature branches"},{"name":"dev","description":"<main>","default":true}]`)
		case r.URL.Query().Get("name") == "none":
			io.WriteString(w, "[]")
		default:
			io.WriteString(w, list)
		}
	}))
	t.Cleanup(srv.Close)
	return srv, asked
}

// Golden files of every form of list.
func TestFormats(t *testing.T) {
	t.Parallel()
	srv, asked := formatServer(t)
	x := &tester{t: t, url: srv.URL, as: "updates", dir: t.TempDir(), env: map[string]string{"UPDATES_IMGADM_URL": srv.URL}}
	var got strings.Builder
	for _, tt := range []struct{ args, asked string }{
		{"list", "/images"},
		{"-C dev list name=~app os=linux", "/images?channel=dev&name=~app&os=linux"},
		{"list -a", "/images?state=all"},
		{"list state=disabled", "/images?state=disabled"},
		{"list -H", "/images"},
		{"list name=none", "/images?name=none"},
		{"list name=none -H", "/images?name=none"},
		{"list name=none -j", "/images?name=none"},
		{"list -o uuid,owner,name,version,state,disabled,public", "/images"},
		{"list -o published,published_at,published_date,type,os,urn,nic_driver,disk_driver,cpu_type", "/images"},
		{"list -o image_size,generate_passwords,description,origin,flags,size,stor,homepage,channels", "/images"},
		{"list -H -o name,version -s name,-version", "/images"},
		{"list -H -o name,version -s version", "/images"}, // as numbers
		{"list -H -o description,name", "/images"},
		{"list -H -o name,image_size -s image_size", "/images"},
		{"list -H -o name,image_size -s -image_size", "/images"},
		{"list -H -o name,size -s size", "/images"}, // a derived column sorts nothing
		{"list --latest", "/images"},
		{"list --latest --json -C * name=~app", "/images?channel=%2A&name=~app"},
		{"list -j", "/images"},
		{"list --tree", "/images"},
		{"list --tree -o name,origin,uuid", "/images"},
		{"list -A -m 2024-01-01 -l 3", "/images?inclAdminFields=true&limit=3&marker=2024-01-01"},
		{"list -Hl many -o name", "/images"},
		{"channels", "/channels"},
		{"channels -H -o default,name", "/channels"},
		{"channels -j", "/channels"},
	} {
		*asked = nil
		out, errs, code := x.run(strings.Fields(tt.args)...)
		if code != 0 || errs != "" {
			t.Errorf("%s: code %d %q", tt.args, code, errs)
		}
		if len(*asked) != 1 || (*asked)[0] != tt.asked {
			t.Errorf("%s: asked %q, want %s", tt.args, *asked, tt.asked)
		}
		fmt.Fprintf(&got, "$ updates-imgadm %s\n%s", tt.args, out)
	}
	golden := filepath.Join("testdata", "formats.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got.String()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	*asked = nil
	for want, args := range map[string]string{
		"(Usage): \"foo\" is no filter":                                           "list foo",
		"(Usage): there is no column \"x\"":                                       "list -o uuid,x",
		"(Usage): image list: public=\"maybe\"":                                   "list public=maybe",
		"(Usage): image list: the server cannot":                                  "list billing_tag=x",
		"(UnknownOption): unknown option: \"-x\"":                                 "list -x",
		"(UnknownOption): unknown option: \"--none\"":                             "list --none",
		"(UnknownOption): option \"--l\" could be any of --limit, --latest":       "list --l 3",
		"(UnknownCommand): unknown command: \"lsit\"":                             "lsit",
		"(UnknownCommand): unknown command: \"create\"":                           "create",
		"(Usage): option -o needs a value":                                        "list -o",
		"(Usage): option --json takes no value":                                   "list --json=x",
		"(Usage): exactly one image uuid is needed":                               "get",
		"(Usage): \"ABC\" is not an image uuid":                                   "get ABC",
		"(Usage): image server SERVER: a change is made in one channel, not in *": "-C * activate " + uuidOf(1),
	} {
		x.fails("updates-imgadm: error "+want, strings.Fields(args)...)
	}
	if *asked != nil {
		t.Errorf("asked %q", *asked)
	}
}

// Every row of the table of the server's errors (spec imgapi.md section 12).
func TestServerErrors(t *testing.T) {
	t.Parallel()
	rows := map[string]int{
		"ValidationFailed": 422, "InvalidParameter": 422, "ImageFilesImmutable": 422, "ImageAlreadyActivated": 422, "NoActivationNoFile": 422,
		"OriginDoesNotExist": 422, "OriginIsNotActive": 422, "ImageHasDependentImages": 422, "OwnerDoesNotExist": 422, "AccountDoesNotExist": 422,
		"NotImageOwner": 422, "ImageNotShared": 422, "NotMantaPathOwner": 422, "InsufficientServerVersion": 422, "ImageUuidAlreadyExists": 409,
		"OperatorOnly": 403, "UnauthorizedError": 401, "ResourceNotFound": 404, "MethodNotAllowedError": 405, "Upload": 400, "Download": 400,
		"ImageFileTooBig": 400, "BadDigest": 400, "InvalidContent": 400, "InvalidVersion": 400, "NotAvailable": 501, "NotImplemented": 400,
	}
	lost := map[string]int{"InternalError": 500, "StorageIsDown": 503, "StorageUnsupported": 503, "RemoteSourceError": 503, "ServiceUnavailableError": 503}
	var status int
	var body string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	defer srv.Close()
	x := &tester{t: t, url: srv.URL, as: "updates", dir: t.TempDir(), env: map[string]string{"UPDATES_IMGADM_URL": srv.URL}}
	for code, s := range rows {
		status, body = s, `{"code":"`+code+`","message":"why","errors":[{"field":"a","code":"Invalid","message":"because"},{"field":"b","code":"MissingParameter"}]}`
		x.fails("updates-imgadm: error ("+code+"): why\n    a: Invalid: because\n    b: MissingParameter\n", "activate", uuidOf(1))
	}
	for code, s := range lost {
		status, body = s, `{"code":"`+code+`","message":"why"}`
		x.fails("updates-imgadm: error ("+code+"): why\n", "get", uuidOf(1))
		// Whether a change has happened is not known then.
		x.fails("updates-imgadm: error (ClientError): image server SERVER: activate image "+uuidOf(1)+": whether it has happened is not known: "+code, "activate", uuidOf(1))
	}
	status, body = 500, `{"message":"no code"}`
	x.fails("updates-imgadm: error (InternalError): HTTP 500: no code\n", "get", uuidOf(1))
	status, body = 504, "<html>\n<h1>Time-out</h1></html>"
	x.fails("updates-imgadm: error (InternalError): HTTP 504: <html> <h1>Time-out</h1></html>\n", "get", uuidOf(1))
	srv.Close()
	x.fails("updates-imgadm: error (ClientError): image server SERVER: get image "+uuidOf(1)+": ", "get", uuidOf(1))
}

func TestWhoAndWhere(t *testing.T) {
	t.Parallel()
	x := start(t, sandbox.Options{})
	out, _, code := x.run("ping")
	if code != 0 || !strings.Contains(out, "\"user\": \"sandbox\"") || !strings.Contains(out, "\"ping\": \"pong\"") {
		t.Errorf("%s", out)
	}
	id := x.env["UPDATES_IMGADM_IDENTITY"]
	delete(x.env, "UPDATES_IMGADM_USER")
	if out, _, _ := x.run("ping"); strings.Contains(out, "user") {
		t.Errorf("unsigned: %s", out)
	}
	if out, _, _ := x.run("-u", "sandbox", "ping", "-i", id); !strings.Contains(out, "sandbox") {
		t.Errorf("signed: %s", out)
	}
	x.fails("updates-imgadm: error (UnauthorizedError): Unauthorized\nhint: ", "activate", uuidOf(1))
	x.fails("updates-imgadm: error (ClientError): reading the key of "+filepath.Join(x.dir, "nokey"), "-u", "x", "-i", filepath.Join(x.dir, "nokey"), "reload-auth-keys")
	x.fails("updates-imgadm: error (Usage): one identity", "-u", "x", "-i", "a", "-i", "b", "ping")
	// A key of a kind that servers do not verify.
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(k, "")
	if err != nil {
		t.Fatal(err)
	}
	x.file("ec", string(pem.EncodeToMemory(block)))
	_, errs, _ := x.run("-u", "sandbox", "-i", filepath.Join(x.dir, "ec"), "ping")
	if !strings.Contains(errs, "image servers accept RSA keys only") {
		t.Errorf("%s", errs)
	}
	// TLS off is said each time; flags beat variables.
	for _, v := range []string{"0", "false"} {
		x.env["UPDATES_IMGADM_INSECURE"] = v
		if _, errs, _ := x.run("ping"); errs != "updates-imgadm: warning: the server's certificate is not verified\n" {
			t.Errorf("%q", errs)
		}
	}
	delete(x.env, "UPDATES_IMGADM_INSECURE")
	x.env["UPDATES_IMGADM_CHANNEL"] = "nowhere"
	x.fails("updates-imgadm: error (ValidationFailed): unknown channel: nowhere\n", "list")
	if _, errs, code := x.run("list", "-H", "-C", "dev"); code != 0 {
		t.Error(errs)
	}
	delete(x.env, "UPDATES_IMGADM_CHANNEL")
	if _, errs, _ := x.run("-d", "get", "-C", "release", uuidOf(1)); !strings.Contains(errs, `"method":"GET"`) || strings.Contains(errs, "ignature") {
		t.Errorf("debug: %s", errs)
	}
}

func TestImagesImgadm(t *testing.T) {
	t.Parallel()
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.RequestURI())
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, "[]")
	}))
	defer srv.Close()
	x := &tester{t: t, url: srv.URL, as: "images", dir: t.TempDir(), env: map[string]string{
		"JOYENT_IMGADM_URL": srv.URL, "IMAGES_IMGADM_CHANNEL": "dev", "UPDATES_IMGADM_URL": "http://127.0.0.1:1"}}
	x.ok("UUID  NAME  VERSION  FLAGS  OS  PUBLISHED\n", "list")
	if len(asked) != 1 || asked[0] != "GET /images" {
		t.Errorf("asked %q", asked)
	}
	x.fails("images-imgadm: error (UnknownCommand): ", "channels")
	x.fails("images-imgadm: error (UnknownCommand): ", "channel-add", "dev", uuidOf(1))
	x.fails("images-imgadm: error (UnknownOption): ", "-C", "dev", "list")
	x.fails("images-imgadm: error (UnknownOption): ", "delete", "--force-all-channels", uuidOf(1))
}

func TestHelp(t *testing.T) {
	t.Parallel()
	x := &tester{t: t, as: "updates", url: "http://h.test"}
	x.ok("updates-imgadm 2.7.0\n", "--version")
	for _, args := range [][]string{nil, {"-h"}, {"help"}, {"--help", "list"}, {"list", "-h"}, {"?", "import"}} {
		if out, errs, code := x.run(args...); code != 0 || errs != "" || !strings.Contains(out, "Usage:") {
			t.Errorf("%q: code %d %q", args, code, errs)
		}
	}
	x.as = "sdc"
	if _, errs, code := x.run(); code != 1 || errs == "" {
		t.Errorf("code %d %q", code, errs)
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{"--version": "updates-imgadm 2.7.0\n", "--as images --version": "images-imgadm 2.7.0\n", "--as=images --version": "images-imgadm 2.7.0\n"} {
		var out bytes.Buffer
		cmd := imgadm.Command(imgadm.Deps{Getenv: func(string) string { return "" }, Stdout: &out, Stderr: io.Discard, Now: time.Now})
		cmd.SetArgs(strings.Fields(args))
		if err := cmd.ExecuteContext(t.Context()); err != nil || out.String() != want {
			t.Errorf("%s: %v %q", args, err, &out)
		}
	}
}
