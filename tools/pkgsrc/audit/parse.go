package audit

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/archive"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/sniff"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/version"
)

const (
	maxText    = 64 << 20 // the published list has some 5 MiB
	maxEntries = 1 << 20
	maxLine    = 4096

	maxWarnings = 100

	pgpStart   = "-----BEGIN PGP SIGNED MESSAGE-----"
	pgpEnd     = "-----BEGIN PGP SIGNATURE-----"
	pkcs7Start = "-----BEGIN PKCS7-----"
	format     = "#FORMAT 1.1.0"
)

// ParseOptions say how much a list has to prove. Checksums are verified always.
type ParseOptions struct {
	// CheckSignature wants a clear-signed list and a good signature, as
	// "pkg_admin fetch-pkg-vulnerabilities -s". Where the keyring could not be
	// read KeyringErr says why.
	CheckSignature bool
	Keyring        openpgp.EntityList
	KeyringErr     error
}

// Parse reads a list, compressed (gzip, bzip2, xz, zstd) or plain, clear-signed
// or not. A missing or bad signature that was asked for is a fault.Policy,
// everything else wrong with the list a fault.Network: it came so. Errors do not
// say which list; the caller knows.
func Parse(ctx context.Context, raw []byte, opts ParseOptions) (*List, error) {
	text, err := sniff.All(bytes.NewReader(raw), maxText)
	if err != nil {
		return nil, fault.Network.Wrap(err)
	}
	l, err := parse(ctx, text, &opts)
	if err != nil && ctx.Err() != nil {
		return nil, err
	}
	if err != nil {
		return nil, fault.Network.Wrap(err)
	}
	return l, nil
}

func parse(ctx context.Context, text []byte, opts *ParseOptions) (*List, error) {
	switch {
	case bytes.IndexByte(text, 0) >= 0:
		return nil, errors.New("it has a NUL byte")
	case len(text) == 0 || text[len(text)-1] != '\n':
		return nil, errors.New("its last line has no end; it is cut short")
	}
	l := &List{}
	if opts.CheckSignature {
		if err := verify(text, opts); err != nil {
			return nil, err
		}
		l.Verified = true
	}
	r := &reader{list: l, rest: string(text), budget: version.NewBudget(maxSteps), sums: map[string]*checksum{
		"SHA512": {hash: sha512.New()}, "SHA1": {hash: sha1.New()},
	}}
	if err := r.head(); err != nil {
		return nil, err
	}
	if err := r.body(ctx); err != nil {
		return nil, err
	}
	if r.more > 0 {
		l.Warnings = append(l.Warnings, fmt.Sprintf("and %d more such lines", r.more))
	}
	for _, name := range []string{"SHA1", "SHA512"} { // in this order, to say the same always
		c := r.sums[name]
		if got := hex.EncodeToString(c.hash.Sum(nil)); c.want != "" && !strings.EqualFold(got, c.want) {
			return nil, fmt.Errorf("%s hash doesn't match", name)
		}
	}
	return l, nil
}

// verify checks the clear signature, and that nothing but it stands around what
// was signed.
func verify(text []byte, opts *ParseOptions) error {
	if opts.KeyringErr != nil {
		return fault.Policy.Errorf("cannot verify its signature: %w", opts.KeyringErr)
	}
	block, rest := clearsign.Decode(text)
	switch {
	case block == nil:
		return fault.Policy.Errorf("it is not signed")
	case !bytes.HasPrefix(text, []byte(pgpStart+"\n")) || len(bytes.TrimSpace(rest)) > 0:
		return fault.Policy.Errorf("it has text outside of what is signed")
	}
	return archive.Verify(opts.Keyring, block.Bytes, block.ArmoredSignature.Body)
}

type checksum struct {
	hash hash.Hash
	want string
}

// reader goes through the text line by line.
type reader struct {
	list   *List
	rest   string
	number int
	signed bool
	more   int // warnings that are only counted
	budget *version.Budget
	sums   map[string]*checksum
}

// next returns a line without its end. Every line has one.
func (r *reader) next() (line string, ok bool, err error) {
	line, rest, ok := strings.Cut(r.rest, "\n")
	if !ok {
		return "", false, nil
	}
	r.rest = rest
	if r.number++; len(line) > maxLine {
		return "", false, fmt.Errorf("line %d: over %d bytes", r.number, maxLine)
	}
	return line, true, nil
}

// sum adds a line to the checksums, which leave some lines out.
func (r *reader) sum(line string) {
	if line == "" || strings.HasPrefix(line, "Hash:") || strings.HasPrefix(line, "# $NetBSD") || strings.HasPrefix(line, "#CHECKSUM") {
		return
	}
	for _, c := range r.sums {
		c.hash.Write([]byte(line))
		c.hash.Write([]byte{'\n'})
	}
}

// head reads up to the format line.
func (r *reader) head() error {
	for first := true; ; first = false {
		line, ok, err := r.next()
		if err != nil {
			return err
		}
		if first && line == pgpStart {
			r.signed = true
			continue
		}
		r.sum(line)
		switch {
		case line == format:
			return nil
		case !ok:
			return errors.New("input header is malformed: it ends before " + format)
		case line == "", strings.HasPrefix(line, "Hash:"), strings.HasPrefix(line, "# $NetBSD"),
			line[0] == '#' && strings.Trim(line[1:], " \t") == "":
		default:
			return fmt.Errorf("input header is malformed: line %d is %.80q, not %s", r.number, line, format)
		}
	}
}

func (r *reader) body(ctx context.Context) error {
	for {
		if r.number%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		line, ok, err := r.next()
		if err != nil || !ok {
			return err
		}
		if (r.signed && line == pgpEnd) || line == pkcs7Start {
			return nil
		}
		r.sum(line)
		switch {
		case strings.HasPrefix(line, "#CHECKSUM "), strings.HasPrefix(line, "#CHECKSUM\t"):
			err = r.checksum(line)
		case line == "", line[0] == '#':
		default:
			err = r.entry(line)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", r.number, err)
		}
	}
}

func (r *reader) checksum(line string) error {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return fmt.Errorf("%.80q is no checksum", line)
	}
	c := r.sums[strings.ToUpper(fields[1])]
	switch {
	case c == nil:
		if len(r.list.Warnings) >= maxWarnings {
			r.more++
			break
		}
		r.list.Warnings = append(r.list.Warnings, fmt.Sprintf("line %d: checksum of an unknown kind, %.40q", r.number, fields[1]))
	case c.want != "" && !strings.EqualFold(c.want, fields[2]):
		return fmt.Errorf("a second %s checksum", fields[1])
	default:
		c.want = fields[2]
	}
	return nil
}

func (r *reader) entry(line string) error {
	fields := strings.Fields(line)
	if len(fields) < 3 {
		return fmt.Errorf("%.80q is not a pattern, a class and an address", line)
	}
	if len(r.list.Entries) >= maxEntries {
		return fmt.Errorf("over %d entries", maxEntries)
	}
	// Patterns are read when they are first used; a bad one is found here.
	if _, err := r.budget.Match(fields[0], "-"); err != nil {
		return err
	}
	r.list.Entries = append(r.list.Entries, Vulnerability{fields[0], fields[1], fields[2]})
	return nil
}
