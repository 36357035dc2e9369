package build

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/TritonDataCenter/engbld/tools/dataset"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/imgstore"
	"github.com/TritonDataCenter/engbld/tools/lock"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/install"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/pkgdb"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/repository"
)

// writerVersion is part of every image's identity: it changes when the same
// inputs give other bytes than before.
const writerVersion = "engbld portable 1"

// portable builds without root rights, ZFS or illumos: the base's streams are
// read into a tree, the tree is changed, and the difference is written as an
// increment (spec zfs-stream.md section 15).
type portable struct {
	req  Request
	opts Options
	out  *output

	now   fstree.Time
	chain []imgstore.Image
	files []*os.File // of the chain
	base  *dataset.Dataset
	tree  *fstree.Tree // the whole dataset: root, cores, …
	root  *fstree.Tree // the system below root/
	spool *fstree.Spool
	conf  *pkgdb.Config
	pkgs  packages

	inputs     []string         // digests of all inputs, in a fixed order
	components []lock.Component // of which component files
	vuln       *lock.File       // the vulnerability list
	result     *Result
	stream     imgmanifest.File
	sums       map[string]lock.Output // of finished outputs, by suffix
	timings    []lock.Timing
}

// steps are what a build does, in order. Run runs this list and Plan shows it.
func (p *portable) steps() []step {
	unless := func(wanted bool, why string) string {
		if wanted {
			return ""
		}
		return why
	}
	c, packages := p.req.Component, p.req.Upgrade || len(p.req.Packages) > 0
	return []step{
		{"lock", unless(p.opts.Lock != nil, "there is none; what the servers have when it runs is taken"), "it pins the inputs", nil, p.checkLock},
		{"base", "", "the image that this one is an increment of", p.baseInputs, p.readBase},
		{"component", unless(c != Component{}, "no files of its own"), "the component's files", p.componentInputs, p.addComponent},
		{"upgrade", unless(p.req.Upgrade, "not asked for"), "everything the base has is upgraded", p.packageInputs(true), p.upgrade},
		{"packages", unless(len(p.req.Packages) > 0, "none wanted"), "asked for: " + strings.Join(p.req.Packages, " "),
			p.packageInputs(false), p.addPackages},
		{"pkgdb", unless(packages, "no package changes"), "packages change", nil, p.finishPackages},
		{"audit", unless(p.req.Audit, "not asked for"), "known vulnerabilities of what is installed", p.auditInputs, p.audit},
		{"finish", "", "clean-up, message of the day", nil, p.finish},
		{"write", "", "the difference to the base, as a stream", nil, p.write},
		{"describe", "", "manifest; then the files get their names", nil, p.describe},
	}
}

func (p *portable) close() {
	for _, f := range p.files {
		f.Close()
	}
	if p.spool != nil {
		p.spool.Close()
	}
	if p.pkgs.pinned != nil {
		p.pkgs.pinned.Remove()
	}
	p.out.close()
}

func (p *portable) origin() *imgmanifest.Manifest { return p.chain[len(p.chain)-1].Manifest }

func (p *portable) readBase(ctx context.Context) error {
	p.opts.Story.Step("base", "image %s", p.req.Base)
	var err error
	if p.chain, err = p.opts.Images.Chain(ctx, p.req.Base); err != nil {
		return err
	}
	if err := p.checkChain(); err != nil {
		return err
	}
	var layers []dataset.Layer
	for _, img := range p.chain {
		f, err := img.Open()
		if err != nil {
			return err
		}
		p.files = append(p.files, f)
		layers = append(layers, img.Layer(f))
		p.inputs = append(p.inputs, "image "+img.Manifest.UUID()+" "+img.SHA1)
		p.opts.Story.Infof("%s (%s) from %s", img.Manifest.NameVersion(), img.Manifest.UUID(), img.From)
	}
	if p.base, err = dataset.Read(ctx, layers, dataset.ReadOptions{Warn: p.opts.Story}); err != nil {
		return err
	}
	p.now = fstree.TimeOf(p.req.Timestamp)
	if p.tree, err = p.base.Tree(p.now); err != nil {
		return err
	}
	if p.root, err = p.tree.Sub("root"); err != nil {
		return fault.WithHint(fmt.Errorf("%s is no zone image: %w", p.origin().NameVersion(), err),
			"BASE_IMAGE_UUID must be a zone-dataset image such as a triton-origin image")
	}
	if p.spool, err = fstree.NewSpool(p.opts.TempDir); err != nil {
		return fault.WithHint(fault.Unfit.Wrap(err), "set TMPDIR to a directory that can be written")
	}
	p.conf, err = pkgdb.ReadConfig(p.root)
	return err
}

// audit writes the vulnerability list into the image, as upstream leaves it
// there, and the findings beside the image; then the policy says whether they
// may stand.
func (p *portable) audit(ctx context.Context) error {
	raw, findings, err := p.pkgs.audit(ctx, p)
	if err != nil {
		return err
	}
	p.inputs = append(p.inputs, fmt.Sprintf("vulnerabilities %x", sha256.Sum256(raw)))
	p.opts.Story.Step("audit", "%d findings", len(findings))
	lines := make([]string, len(findings))
	for i, f := range findings {
		lines[i] = f.String() + "\n"
	}
	slices.Sort(lines)
	for _, l := range lines {
		p.opts.Story.Detailf("%s", strings.TrimSuffix(l, "\n"))
	}
	if err := p.writeOutput(".pkgaudit", []byte(strings.Join(lines, ""))); err != nil {
		return err
	}
	var entries []*repository.Entry
	if p.pkgs.repos != nil && p.opts.Lock == nil {
		entries, _ = p.pkgs.repos.Summary(ctx) // no summary: no upgrade is known
	}
	return p.opts.Policy.check(findings, entries, p.req.Timestamp, p.opts.Story)
}

// writeOutput makes a small output complete and remembers its digest.
func (p *portable) writeOutput(suffix string, data []byte) error {
	p.finished(suffix, int64(len(data)), fmt.Sprintf("%x", sha256.Sum256(data)))
	return p.out.write(p.name(suffix), data)
}

func (p *portable) finished(suffix string, size int64, sum string) {
	if p.sums == nil {
		p.sums = map[string]lock.Output{}
	}
	p.sums[suffix] = lock.Output{Name: p.name(suffix), Size: size, SHA256: sum}
}

// name is the name of an output file (spec engbld-interface.md section 3.3.1).
func (p *portable) name(suffix string) string { return p.req.Prefix + "-" + p.req.Version + suffix }

// finish does what follows the packages (spec engbld-interface.md section 4.10,
// steps 10 to 12).
func (p *portable) finish(ctx context.Context) error {
	p.opts.Story.Step("finish", "cleaning up, message of the day")
	if err := p.root.RemoveAll("var/db/pkgin"); err != nil {
		return err
	}
	if err := p.tree.RemoveAll("config"); err != nil {
		return err
	}
	if !p.req.MOTD {
		return nil
	}
	return p.root.WriteFile("etc/motd", p.motd(), 0o644)
}

func (p *portable) motd() []byte {
	return fmt.Appendf(nil, " =  T R I T O N  =\n\n    %s (%s)\n    %s\n    %s\n\n", p.req.ImageName(), p.req.ImageVersion(),
		p.req.SourceRepo, p.origin().NameVersion())
}

// guid derives the snapshot's guid, by which later images find this one as
// their origin, from everything that decides the content.
func (p *portable) guid() (uint64, error) {
	r := p.req
	r.Component = Component{} // its content is among the inputs, its place does not matter
	req, err := r.Encode()
	if err != nil {
		return 0, err
	}
	h := sha256.New()
	for _, s := range append([]string{writerVersion, fmt.Sprintf("base %016x", p.base.GUID()), string(req)}, p.inputs...) {
		fmt.Fprintf(h, "%d %s\n", len(s), s)
	}
	guid := binary.BigEndian.Uint64(h.Sum(nil))
	if guid == 0 {
		guid = 1 // 0 means "no snapshot" in a stream
	}
	return guid, nil
}

func (p *portable) write(ctx context.Context) error {
	guid, err := p.guid()
	if err != nil {
		return err
	}
	stats, err := p.writeImage(func(w io.Writer) (dataset.Stats, error) {
		return dataset.WriteIncrement(ctx, w, p.base, p.tree, dataset.Options{
			ToGUID: guid, ToName: "zones/" + p.req.ImageName() + "@final",
			CreationTime: p.req.Timestamp.Unix(), Now: p.now,
		})
	})
	if err != nil {
		return err
	}
	p.opts.Story.Infof("%d new, %d changed, %d removed objects; %d bytes, %d compressed",
		stats.Created, stats.Changed, stats.Freed, stats.Bytes, p.stream.Size)
	return nil
}

// writeImage makes the image file of the stream that write writes.
func (p *portable) writeImage(write func(io.Writer) (dataset.Stats, error)) (dataset.Stats, error) {
	name := p.name(".zfs.gz")
	p.opts.Story.Step("write", "%s", name)
	f, err := p.out.create(name)
	if err != nil {
		return dataset.Stats{}, err
	}
	w, stats, err := WriteStream(f, write)
	if err != nil {
		return stats, fmt.Errorf("writing the stream: %w", err)
	}
	p.finished(".zfs.gz", w.Size, hex.EncodeToString(w.SHA256[:]))
	p.stream = imgmanifest.File{SHA1: hex.EncodeToString(w.SHA1[:]), Size: w.Size, Compression: "gzip"}
	return stats, nil
}

// describe writes the manifest and gives all files their names, the manifest
// last: where it stands, the image is whole.
func (p *portable) describe(ctx context.Context) error {
	fields, err := p.req.fields()
	if err != nil {
		return err
	}
	raw, err := canonical(fields) // so that the uuid does not depend on how it was written
	if err != nil {
		return err
	}
	given, err := imgmanifest.Parse(raw)
	if err != nil {
		return fault.Usage.Wrap(err)
	}
	m, err := imgmanifest.Build(imgmanifest.BuildInput{
		Given: given, Origin: p.origin(), File: p.stream, PublishedAt: p.req.Timestamp,
		Floor: p.req.Platform, Sandbox: p.opts.Sandbox,
	})
	if err != nil {
		return err
	}
	names := []string{p.name(".zfs.gz")}
	p.result = &Result{Manifest: m,
		FilePath:     filepath.Join(p.opts.Out, p.name(".zfs.gz")),
		ManifestPath: filepath.Join(p.opts.Out, p.name(".imgmanifest"))}
	if p.req.Audit {
		names = append(names, p.name(".pkgaudit"))
		p.result.AuditPath = filepath.Join(p.opts.Out, p.name(".pkgaudit"))
	}
	if err := p.writeOutput(".imgmanifest", m.Encode()); err != nil {
		return err
	}
	if p.opts.Native != nil {
		// What the image's own tools took in is not known, and they would not do the same again.
	} else if p.result.Record, err = p.record(); err != nil && p.opts.WriteLock {
		return err
	} else if err != nil {
		p.opts.Story.Warnf("engbld verify will not know this image's inputs: %v", err)
	}
	if p.opts.WriteLock && p.result.Record != nil {
		names = append(names, p.name(RecordSuffix))
		if err := p.out.write(p.name(RecordSuffix), p.result.Record.Encode()); err != nil {
			return err
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := p.out.publish(append(names, p.name(".imgmanifest"))...); err != nil {
		return err
	}
	if err := p.opts.Images.Register(ctx, p.result.ManifestPath, p.result.FilePath); err != nil {
		p.opts.Story.Warnf("builds in other checkouts will not find this image by its uuid: %v", err)
	}
	if p.opts.Records != "" && p.result.Record != nil {
		if err := p.opts.Records.Put(p.result.Record); err != nil {
			p.opts.Story.Warnf("engbld verify will not know this image's inputs: %v", err)
		}
	}
	p.opts.Story.Step("done", "image %s", m.UUID())
	p.result.tell(p.opts.Story)
	return nil
}

// tell ends the story: how to install the image.
func (r *Result) tell(story Story) {
	story.Infof("install it with: imgadm install -m %s -f %s", shellWord(r.ManifestPath), shellWord(r.FilePath))
}

// shellWord writes a path so that a line with it can be given to a shell.
func shellWord(s string) string {
	if strings.ContainsFunc(s, func(c rune) bool {
		return !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("/._-+,:@%", c)
	}) {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}

var _ install.Logger = Story(nil)
