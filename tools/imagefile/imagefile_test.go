package imagefile

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"io"
	"strings"
	"testing"
)

func gz(t testing.TB, s string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, s); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func unhex(t testing.TB, s string) string {
	t.Helper()
	raw, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// printf hello | xz -c, bzip2 -c (xz 5.4.1, bzip2 1.0.8)
const (
	xzHello    = "fd377a585a000004e6d6b4460200210116000000742fe5a301000468656c6c6f00000000b137b9dbe5da1e9b00011d05b82d80af1fb6f37d010000000004595a"
	bzip2Hello = "425a68393141592653591931653d00000081000244a000219a68334d07338bb9229c28480c98b29e80"
)

func TestReader(t *testing.T) {
	t.Parallel()
	xz, bz := unhex(t, xzHello), unhex(t, bzip2Hello)
	tests := []struct{ name, compression, in, out, err string }{
		{"none", "none", "hello", "hello", ""},
		{"nothing said", "", "hello", "hello", ""},
		{"gzip", "gzip", gz(t, "hello"), "hello", ""},
		{"gzip in two parts", "gzip", gz(t, "hel") + gz(t, "lo"), "hello", ""},
		{"gzip, then rubbish", "gzip", gz(t, "hello") + "rubbish is here", "hello", "gzip:"},
		{"gzip, cut", "gzip", gz(t, "hello")[:15], "", "gzip: unexpected EOF"},
		{"gzip, empty", "gzip", "", "", "gzip: unexpected EOF"},
		{"gzip, other", "gzip", xz, "", "gzip:"},
		{"xz", "xz", xz, "hello", ""},
		{"xz, huge window", "xz", xz[:16] + "\x28" + xz[17:], "", "xz: needs a window of 4294967296 bytes, at most 268435456 are used"},
		{"xz, cut", "xz", xz[:40], "", "xz:"},
		{"xz, empty", "xz", "", "", "xz: unexpected EOF"},
		{"bzip2", "bzip2", bz, "hello", ""},
		{"bzip2, cut", "bzip2", bz[:20], "", "bzip2: unexpected EOF"},
		{"unknown", "zip", "", "", `unknown compression "zip"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out []byte
			r, err := NewReader(strings.NewReader(tt.in), tt.compression)
			if err == nil {
				out, err = io.ReadAll(r)
			}
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if tt.out != "" && string(out) != tt.out {
				t.Errorf("content %q", out)
			}
		})
	}
}

func TestSuffix(t *testing.T) {
	t.Parallel()
	for compression, want := range map[string]string{"gzip": ".gz", "bzip2": ".bz2", "xz": ".xz", "none": ""} {
		if got := Suffix(compression); got != want {
			t.Errorf("%s: %q", compression, got)
		}
	}
}
