package component

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/pmezard/go-difflib/difflib"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/flavor"
	"github.com/TritonDataCenter/engbld/tools/makefile"
	"github.com/TritonDataCenter/engbld/tools/newfile"
)

// Bump is what moving a component to another origin image changes.
type Bump struct {
	Subject string
	To      string // name@version of the image
	Files   []FileChange
	Notes   []string // what somebody must decide

	top string
}

// FileChange is one file, by its name in the repository.
type FileChange struct {
	Name     string
	Old, New []byte
}

// BumpOptions say where to and from.
type BumpOptions struct {
	Dir     string // the component's, absolute
	Flavors *flavor.Set
	To      string // a flavor (its name or version), or the uuid of an image
	From    string // the uuid to replace, where there are several; may be empty
}

// Target finds the image to go to: the youngest one released of a flavor, or a
// uuid. A flavor without a released image, and the base of a flavor, are errors of
// kind fault.Usage.
func Target(set *flavor.Set, to string) (flavor.Known, error) {
	if uuidRE.MatchString(to) {
		k, ok := known(set, to)
		switch {
		case !ok:
			return flavor.Known{UUID: to}, nil
		case !k.Origin && k.Flavor != nil:
			return k, fault.WithHint(fault.Usage.Errorf("%s is %s, the base of %s, no origin image", to, k, k.Flavor.Name),
				"engbld component origin-bump %s", k.Flavor.Name)
		}
		return k, nil
	}
	f, err := set.Lookup(to)
	if err != nil {
		return flavor.Known{}, err
	}
	r, ok := released(f)
	if !ok {
		return flavor.Known{}, fault.WithHint(fault.Usage.Errorf("no image of %s is released", f.Name),
			"engbld component origin-bump UUID, of an image of it that you built")
	}
	k, _ := known(set, r.UUID)
	return k, nil
}

// Plan works out the changes and writes nothing.
func Plan(opts BumpOptions) (*Bump, error) {
	to, err := Target(opts.Flavors, opts.To)
	if err != nil {
		return nil, err
	}
	c, err := open(opts.Dir)
	if err != nil {
		return nil, err
	}
	b := &Bump{Subject: c.name(filepath.Base(opts.Dir)), To: orelse(name(to), to.UUID), top: c.top}
	p := &bumper{Bump: b, c: c, set: opts.Flavors, to: to, texts: map[string][]string{}}
	if err := p.base(opts.From); err != nil {
		return nil, err
	}
	p.node()
	p.packages()
	p.jenkins()
	p.platform()
	for _, f := range c.tree.Files {
		if lines, ok := p.texts[f.Name]; ok {
			p.change(f.Name, strings.Join(f.Lines, "\n"), strings.Join(lines, "\n"))
		}
	}
	return b, nil
}

type bumper struct {
	*Bump
	c    *checkout
	set  *flavor.Set
	to   flavor.Known
	from flavor.Known // zero but for UUID if it is not known
	// texts holds the lines of changed makefiles, removed ones as removed.
	texts map[string][]string
}

// removed stands for a line that goes away; no makefile holds it.
const removed = "\x00"

func (p *bumper) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

func (p *bumper) change(file, old, new string) {
	new = strings.ReplaceAll(strings.ReplaceAll(new, removed+"\n", ""), "\n"+removed, "")
	if old != new {
		p.Files = append(p.Files, FileChange{Name: file, Old: []byte(old), New: []byte(new)})
	}
}

// lines are those of a makefile, to be changed.
func (p *bumper) lines(file string) []string {
	if l, ok := p.texts[file]; ok {
		return l
	}
	l := slices.Clone(p.c.tree.File(file).Lines)
	p.texts[file] = l
	return l
}

func (p *bumper) base(from string) error {
	uuids, _ := p.c.uuids("BASE_IMAGE_UUID")
	old := slices.DeleteFunc(slices.Clone(uuids), func(u string) bool { return u == p.to.UUID && from == "" && len(uuids) > 1 })
	switch {
	case from != "":
		if !slices.Contains(uuids, from) {
			return fault.WithHint(fault.Usage.Errorf("%s: no BASE_IMAGE_UUID is %s", p.Subject, from), "--from takes one of: %s", orelse(strings.Join(uuids, " "), "none"))
		}
	case len(old) == 1:
		from = old[0]
	case len(old) == 0:
		return fault.WithHint(fault.Usage.Errorf("%s sets BASE_IMAGE_UUID to no uuid", p.Subject),
			"BASE_IMAGE_UUID = %s in its Makefile, after Makefile.defs is included", p.to.UUID)
	default:
		return fault.WithHint(fault.Usage.Errorf("%s sets BASE_IMAGE_UUID to several images: %s", p.Subject, strings.Join(old, " ")), "--from UUID chooses the one to replace")
	}
	p.from, _ = known(p.set, from)
	p.from.UUID = from
	for _, s := range p.c.tree.Assigns("BASE_IMAGE_UUID") {
		if p.literal(s, from, p.to.UUID) {
			p.comments(s)
		}
	}
	// A variable in between: ORIGIN = uuid, BASE_IMAGE_UUID = $(ORIGIN).
	if len(p.texts) == 0 && from != p.to.UUID {
		for _, s := range p.c.tree.Stmts {
			if s.Kind == makefile.Assign && strings.TrimSpace(s.Value) == from && !strings.HasPrefix(s.Name, "NODE_") && p.literal(s, from, p.to.UUID) {
				p.comments(s)
			}
		}
	}
	if p.to.Flavor == nil {
		p.note("nothing is known of image %s: node, packages, comments and the Jenkinsfile are left as they are", p.to.UUID)
	}
	return nil
}

// literal replaces a value that stands literally in an assignment.
func (p *bumper) literal(s makefile.Stmt, old, new string) bool {
	if strings.TrimSpace(s.Value) != old {
		return false
	}
	lines := p.lines(s.File)
	for i := s.Line - 1; i < s.End; i++ {
		if strings.Contains(lines[i], old) {
			lines[i] = strings.Replace(lines[i], old, new, 1)
			return true
		}
	}
	return false
}

// comments names the new image in the comments at an assignment.
func (p *bumper) comments(s makefile.Stmt) {
	if p.to.Flavor == nil {
		return
	}
	p.rename(s, p.to.Flavor.Name)
}

// rename puts another image's name into the comments at an assignment: on its last
// line, and in those directly above.
func (p *bumper) rename(s makefile.Stmt, image string) {
	lines := p.lines(s.File)
	fix := func(i int) {
		code, comment := cutComment(lines[i])
		lines[i] = code + claimRE.ReplaceAllLiteralString(comment, image)
	}
	fix(s.End - 1)
	for i := s.Line - 2; i >= 0 && strings.HasPrefix(strings.TrimSpace(lines[i]), "#"); i-- {
		fix(i)
	}
}

func (p *bumper) node() {
	if p.to.Flavor == nil {
		return
	}
	assigns := p.c.tree.Assigns("NODE_PREBUILT_IMAGE")
	if _, ok := p.c.tree.Includes("Makefile.node_prebuilt.defs"); !ok || len(assigns) == 0 {
		return
	}
	if tag, _ := p.c.tree.Value("NODE_PREBUILT_TAG"); tag == "gz" {
		p.note("NODE_PREBUILT_IMAGE stays: which node with the tag gz fits %s is not known", p.to.Flavor.Name)
		return
	}
	if p.to.Flavor.Sdcnode == nil {
		p.note("NODE_PREBUILT_IMAGE stays: no node build is known for %s", p.to.Flavor.Name)
		return
	}
	want := p.to.Flavor.Sdcnode.Image
	for _, s := range assigns {
		if v := strings.TrimSpace(s.Value); !uuidRE.MatchString(v) {
			p.note("%s: NODE_PREBUILT_IMAGE is not set to a uuid; %s runs %s (%s)", p.c.tree.Where(s), p.to.Flavor.Name, want, p.to.Flavor.Sdcnode.Build)
		} else if v != want && p.literal(s, v, want) {
			p.rename(s, p.to.Flavor.Sdcnode.Build)
		}
	}
}

// packages drops what the origin has already.
func (p *bumper) packages() {
	if p.to.Flavor == nil {
		return
	}
	has := map[string]string{}
	for _, w := range p.to.Flavor.Pkgsrc.Packages {
		has[packageName(w)] = w
	}
	var dropped, pinned []string
	for _, s := range p.c.tree.Assigns("BUILDIMAGE_PKGSRC") {
		var drop []string
		for _, w := range strings.Fields(s.Value) {
			switch {
			case strings.Contains(w, "$"):
			case has[packageName(w)] != "":
				drop = append(drop, w)
			case packageName(w) != w && p.from.Pkgsrc != p.to.Pkgsrc:
				pinned = append(pinned, w)
			}
		}
		if len(drop) > 0 {
			p.dropWords(s, drop)
			dropped = append(dropped, drop...)
		}
	}
	if len(dropped) > 0 {
		p.note("dropped from BUILDIMAGE_PKGSRC, as the origin has them: %s", strings.Join(dropped, " "))
	}
	if len(pinned) > 0 {
		p.note("%s may have no package of just this version: %s", p.to.Pkgsrc, strings.Join(pinned, " "))
	}
}

// packageName cuts the version off: curl-7.51.0 is curl.
func packageName(w string) string {
	if i := strings.LastIndexByte(w, '-'); i > 0 && i+1 < len(w) && w[i+1] >= '0' && w[i+1] <= '9' {
		return w[:i]
	}
	return w
}

// dropWords removes words from an assignment, and lines that are empty afterwards.
func (p *bumper) dropWords(s makefile.Stmt, words []string) {
	lines := p.lines(s.File)
	first, last := s.Line-1, s.End-1
	for i := first; i <= last; i++ {
		code, comment := cutComment(lines[i])
		start := 0
		if i == first {
			start = strings.Index(code, s.Op) + len(s.Op)
		}
		body := dropFrom(code[start:], words)
		switch {
		case body == code[start:]:
		case i > first && comment == "" && strings.Trim(body, " \t\\") == "":
			lines[i] = removed
		case comment == "":
			lines[i] = strings.TrimRight(code[:start]+body, " \t")
		default:
			lines[i] = code[:start] + body + comment
		}
	}
	if lines[last] != removed {
		return
	}
	for i := last; i >= first; i-- { // was continued into lines that are gone
		if lines[i] != removed {
			lines[i] = strings.TrimRight(strings.TrimSuffix(strings.TrimRight(lines[i], " \t"), `\`), " \t")
			return
		}
	}
}

var chunkRE = regexp.MustCompile(`[ \t]*[^ \t]+`)

// dropFrom removes words, each with the blanks before it; the first word that stays
// takes the place of the first there was.
func dropFrom(body string, words []string) string {
	chunks := chunkRE.FindAllString(body, -1)
	tail := body[len(strings.Join(chunks, "")):]
	blanks := func(c string) string { return c[:len(c)-len(strings.TrimLeft(c, " \t"))] }
	var out []string
	for i, c := range chunks {
		word, glued := strings.CutSuffix(strings.TrimLeft(c, " \t"), `\`)
		if !slices.Contains(words, word) {
			if len(out) == 0 && i > 0 {
				c = blanks(chunks[0]) + strings.TrimLeft(c, " \t")
			}
			out = append(out, c)
		} else if glued {
			out = append(out, ` \`)
		}
	}
	return strings.Join(out, "") + tail
}

// cutComment cuts a line before its comment.
func cutComment(line string) (code, comment string) {
	if i := strings.IndexByte(line, '#'); i >= 0 {
		return line[:i], line[i:]
	}
	return line, ""
}

// jenkins moves label, stage and parameter from the old version to the new one.
func (p *bumper) jenkins() {
	if p.c.jenkins == "" || p.to.Flavor == nil || p.from.Name == "" {
		return
	}
	old, new := version(p.from), version(p.to)
	if old == new {
		return
	}
	text := p.c.pipeline
	esc := regexp.QuoteMeta
	label := regexp.MustCompile(`(\bimage_ver\s*:\s*['"]?)` + esc(old) + `([^0-9.]|$)`)
	if !label.MatchString(text) {
		if imageVerRE.MatchString(text) {
			p.note("%s has no label image_ver %s; it stays", p.c.jenkins, old)
		}
		return
	}
	lines := strings.Split(text, "\n")
	archRE := regexp.MustCompile(`(\bpkgsrc_arch\s*:\s*['"]?)[A-Za-z0-9_]+`)
	for i, l := range lines {
		if !label.MatchString(l) {
			continue
		}
		l = label.ReplaceAllString(l, "${1}"+new+"${2}")
		lines[i] = archRE.ReplaceAllString(l, "${1}"+p.to.Flavor.Pkgsrc.Arch)
	}
	text = strings.Join(lines, "\n")
	param := "BUILD_" + strings.ReplaceAll(old, ".", "_")
	switch {
	case strings.Contains(text, p.to.Flavor.JenkinsParam()):
		p.note("%s has %s already; stages and parameters stay", p.c.jenkins, p.to.Flavor.JenkinsParam())
	default:
		text = regexp.MustCompile(`\b`+param+`\b`).ReplaceAllLiteralString(text, p.to.Flavor.JenkinsParam())
		if p.from.Flavor != nil {
			text = strings.ReplaceAll(text, p.from.Flavor.Name, p.to.Flavor.Name)
		}
		stage := regexp.MustCompile(`(\bstage\s*\(\s*(?:name\s*:\s*)?['"][^'"\n]*?\b)` + esc(old) + `\b`)
		text = stage.ReplaceAllString(text, "${1}"+new)
	}
	p.change(p.c.jenkins, p.c.pipeline, text)
}

// platform tells of the platform that agents of the new image run.
func (p *bumper) platform() {
	if p.to.Flavor == nil || p.to.Flavor.BuildOn.Platform == "" {
		return
	}
	want := p.to.Flavor.BuildOn.Platform
	if have, _ := p.c.tree.Value("BUILD_PLATFORM"); have < want {
		p.note("%s is built on platform %s: BUILD_PLATFORM = %[2]s after Makefile.defs, and pi: '%[2]s' in the Jenkins label", p.to.Flavor.Name, want)
	}
}

// Diff is all changes as a unified diff.
func (b *Bump) Diff() (string, error) {
	var out strings.Builder
	for _, f := range b.Files {
		err := difflib.WriteUnifiedDiff(&out, difflib.UnifiedDiff{
			A: difflib.SplitLines(string(f.Old)), B: difflib.SplitLines(string(f.New)),
			FromFile: "a/" + f.Name, ToFile: "b/" + f.Name, Context: 3,
		})
		if err != nil {
			return "", err
		}
	}
	return out.String(), nil
}

// Write gives every file its new content, each in one step, and all or none: what
// was written is put back where a later one fails. Files that have changed since
// they were read are an error of kind fault.Drift.
func (b *Bump) Write(ctx context.Context) error {
	type pending struct {
		name string
		file *newfile.File
		old  []byte
	}
	var all []pending
	defer func() {
		for _, p := range all {
			p.file.Discard()
		}
	}()
	for _, f := range b.Files {
		name, err := filepath.EvalSymlinks(filepath.Join(b.top, filepath.FromSlash(f.Name)))
		if err != nil {
			return fault.Step.Errorf("changing %s: %w", f.Name, err)
		}
		old, new, err := f.whole(name)
		if err != nil {
			return err
		}
		file, err := beside(name, new)
		if err != nil {
			return fault.Step.Errorf("changing %s: %w", f.Name, err)
		}
		all = append(all, pending{name, file, old})
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for i, p := range all {
		if err := p.file.Commit(); err != nil {
			err = fault.Step.Errorf("changing %s: %w", p.name, err)
			for _, done := range all[:i] {
				file, back := beside(done.name, done.old)
				if back == nil {
					back = file.Commit()
				}
				err = errors.Join(err, back)
			}
			return err
		}
	}
	return nil
}

// whole returns the file as it is and as it will be. Its end (a last newline, or
// none) is kept.
func (f FileChange) whole(name string) (old, new []byte, err error) {
	old, err = os.ReadFile(name)
	if err != nil {
		return nil, nil, fault.Step.Errorf("changing %s: %w", f.Name, err)
	}
	end, ok := bytes.CutPrefix(old, f.Old)
	if !ok || len(end) > 1 {
		return nil, nil, fault.WithHint(fault.Drift.Errorf("%s has changed since it was read", f.Name), "run the same command again")
	}
	return old, append(slices.Clone(f.New), end...), nil
}

// beside begins a file that replaces name, with data and its permissions.
func beside(name string, data []byte) (*newfile.File, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	f, err := newfile.Create(name, st.Mode().Perm())
	if err != nil {
		return nil, err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(st.Mode().Perm())); err != nil { // whatever the umask
		f.Discard()
		return nil, err
	}
	return f, nil
}
