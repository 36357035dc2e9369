package repository

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fetch"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/version"
)

const (
	maxSummary = 128 << 20 // bytes of text; the largest published have some 40 MiB
	maxRecords = 1 << 19
	maxLine    = 64 << 10
	maxLines   = 1 << 16 // in one record
)

// Entry is one record of a summary (spec pkgsrc.md section 2.1).
type Entry struct {
	Repo *Repo // where it was read; nil from ParseSummary

	PkgName         string // full name; "-0.0" appended where no version follows
	Depends         []string
	Conflicts       []string
	Supersedes      []string
	Provides        []string // absolute library paths
	Requires        []string
	BuildDate       string // compared as a string, never as a time
	PkgPath         string
	PrevPkgPath     string
	SizePkg         int64  // bytes installed; 0: not said
	FileSize        int64  // bytes of the package; 0: not said
	FileName        string // PkgName + ".tgz" where not said
	FileCksum       string // algorithm, blank or colon, hex
	Opsys           string
	OSVersion       string
	MachineArch     string
	PkgtoolsVersion string
	Comment         string
	Categories      string
	License         string
	Homepage        string
	PkgOptions      string
	Description     []string

	listed string // PKGNAME as it stands there
}

// Name is PkgName without the version.
func (e *Entry) Name() string { name, _ := version.Split(e.PkgName); return name }

// Version is PkgName's version.
func (e *Entry) Version() string { _, v := version.Split(e.PkgName); return v }

// ParseSummary reads the text of a summary. Unknown keys are passed over; a line
// without "=", a record without a usable PKGNAME, a size that is no number or a
// limit passed are errors.
func ParseSummary(text string) ([]*Entry, error) {
	if len(text) > maxSummary {
		return nil, fmt.Errorf("summary has %d bytes, at most %d are read", len(text), maxSummary)
	}
	var entries []*Entry
	var current *Entry
	number, lines := 0, 0
	finish := func() error {
		if current == nil {
			return nil
		}
		if err := current.finish(); err != nil {
			return err
		}
		entries = append(entries, current)
		current, lines = nil, 0
		if len(entries) > maxRecords {
			return fmt.Errorf("over %d records", maxRecords)
		}
		return nil
	}
	for line := range strings.SplitSeq(text, "\n") {
		number++
		line = strings.TrimSuffix(line, "\r")
		var err error
		switch {
		case line == "":
			err = finish()
		case len(line) > maxLine || lines >= maxLines:
			err = fmt.Errorf("over %d bytes, or %d lines in one record", maxLine, maxLines)
		default:
			if current == nil {
				current = &Entry{}
			}
			lines++
			err = current.set(line)
		}
		if err != nil {
			return nil, fmt.Errorf("summary line %d: %w", number, err)
		}
	}
	if err := finish(); err != nil {
		return nil, fmt.Errorf("summary line %d: %w", number, err)
	}
	return entries, nil
}

func (e *Entry) set(line string) error {
	key, value, ok := strings.Cut(line, "=")
	if !ok {
		return fmt.Errorf("%.80q has no =", line)
	}
	if text := e.text(key); text != nil {
		if key == "PKGNAME" && *text != "" {
			return fmt.Errorf("second PKGNAME %.80q in the record of %s", value, *text)
		}
		*text = value
	} else if list := e.list(key); list != nil {
		*list = append(*list, value)
	} else if size := e.size(key); size != nil && value != "" {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("%s is %.80q", key, value)
		}
		*size = n
	}
	return nil
}

func (e *Entry) text(key string) *string {
	switch key {
	case "PKGNAME":
		return &e.listed
	case "BUILD_DATE":
		return &e.BuildDate
	case "PKGPATH":
		return &e.PkgPath
	case "PREV_PKGPATH":
		return &e.PrevPkgPath
	case "FILE_NAME":
		return &e.FileName
	case "FILE_CKSUM":
		return &e.FileCksum
	case "OPSYS":
		return &e.Opsys
	case "OS_VERSION":
		return &e.OSVersion
	case "MACHINE_ARCH":
		return &e.MachineArch
	case "PKGTOOLS_VERSION":
		return &e.PkgtoolsVersion
	case "COMMENT":
		return &e.Comment
	case "CATEGORIES":
		return &e.Categories
	case "LICENSE":
		return &e.License
	case "HOMEPAGE":
		return &e.Homepage
	case "PKG_OPTIONS":
		return &e.PkgOptions
	}
	return nil
}

func (e *Entry) list(key string) *[]string {
	switch key {
	case "DEPENDS":
		return &e.Depends
	case "CONFLICTS":
		return &e.Conflicts
	case "SUPERSEDES":
		return &e.Supersedes
	case "PROVIDES":
		return &e.Provides
	case "REQUIRES":
		return &e.Requires
	case "DESCRIPTION":
		return &e.Description
	}
	return nil
}

func (e *Entry) size(key string) *int64 {
	switch key {
	case "SIZE_PKG":
		return &e.SizePkg
	case "FILE_SIZE":
		return &e.FileSize
	}
	return nil
}

func (e *Entry) finish() error {
	if e.listed == "" {
		return errors.New("record without PKGNAME")
	}
	if !goodName(e.listed) {
		return fmt.Errorf("PKGNAME %.80q", e.listed)
	}
	e.PkgName = e.listed
	if _, v := version.Split(e.listed); v == "" || v[0] < '0' || v[0] > '9' {
		e.PkgName += "-0.0"
	}
	if e.FileName == "" {
		e.FileName = e.listed + ".tgz"
	}
	return nil
}

// expect is what the record says of the file.
func (e *Entry) expect() fetch.Expect {
	want := fetch.Expect{Size: e.FileSize, MaxSize: maxPackage}
	algorithm, hex, ok := strings.Cut(e.FileCksum, ":")
	if !ok {
		algorithm, hex, _ = strings.Cut(e.FileCksum, " ")
	}
	hex = strings.TrimSpace(hex)
	switch strings.ToUpper(strings.ReplaceAll(algorithm, "-", "")) {
	case "MD5":
		want.MD5 = hex
	case "SHA1":
		want.SHA1 = hex
	case "SHA256":
		want.SHA256 = hex
	case "SHA512":
		want.SHA512 = hex
	}
	return want
}

// goodName tells whether a package may be called so: it becomes part of
// addresses and paths.
func goodName(name string) bool {
	if name == "" || len(name) > 250 || name[0] == '.' || name[0] == '+' || name[0] == '-' {
		return false
	}
	for i := range len(name) {
		if name[i] <= ' ' || name[i] > '~' || name[i] == '/' {
			return false
		}
	}
	return true
}
