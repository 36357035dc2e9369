package imgadm

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
)

// What a server lists takes the room of the list, whatever its names are and
// however its images hang together.
func TestListsOfOddServers(t *testing.T) {
	t.Parallel()
	const n = 5000
	images := make([]*imgmanifest.Manifest, n)
	for i := range images {
		m := new(imgmanifest.Manifest)
		for name, v := range map[string]string{"uuid": fmt.Sprintf("%012d", i), "origin": fmt.Sprintf("%012d", i-1), "name": "x"} {
			if i == 0 && name == "origin" {
				continue
			}
			if err := m.Set(name, v); err != nil {
				t.Fatal(err)
			}
		}
		images[i] = m
	}
	if err := images[n/2].Set("name", strings.Repeat("n", 1<<20)); err != nil {
		t.Fatal(err)
	}
	columns := []string{"uuid", "name", "os"}
	rows := treeRows(images, columns)
	if len(rows) != n || rows[2][0] != "     `- 000000000002" {
		t.Fatalf("%d rows, %q", len(rows), rows[2])
	}
	bytes := 0
	for _, r := range rows {
		bytes += len(r[0])
	}
	if bytes > n*1000 {
		t.Errorf("%d bytes of uuids", bytes)
	}
	var out countingWriter
	if err := writeTable(&out, columns, false, rows); err != nil || out.n > 1<<20+n*3000 || out.largest > 2<<20 {
		t.Errorf("%d bytes, %d at once, %v", out.n, out.largest, err)
	}
}

type countingWriter struct{ n, largest int }

func (w *countingWriter) Write(p []byte) (int, error) {
	w.n, w.largest = w.n+len(p), max(w.largest, len(p))
	return len(p), nil
}

// No text from elsewhere moves a terminal's cursor or makes up lines.
func TestPlainMessages(t *testing.T) {
	t.Parallel()
	const bad = "a\x1b[2J\u009b\nhint: b"
	m, err := imgmanifest.Parse([]byte(`{"v":2,"\u001b[2Jfield":1,"name":"a\u001b[2J"}`))
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	a := &app{Deps: Deps{Stdout: &out, Stderr: &errs}, tool: tools()["updates"]}
	if err := a.printImported(m); err != nil {
		t.Fatal(err)
	}
	a.warn("%s", bad)
	a.printError(m.Validate())
	a.printError(coded("MultiError", "one\ntwo \x1b[2J"))
	all := out.String() + errs.String()
	if strings.ContainsAny(all, "\x1b\u009b") || strings.Contains(all, "\nhint") || !strings.Contains(all, "one\ntwo") {
		t.Errorf("%q", all)
	}
}
