package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const benchTime = "20260101T000000Z"

// buildRows measure whole builds of an image through the program itself.
func (b *bench) buildRows() []row {
	pkgs := packages{Dir: b.path("packages-100m"), N: 30, Files: int(b.scale(6000)), Bytes: b.scale(200 * mb), Seed: 5}
	img := base{Dir: b.path("base-300m"), UUID: "0be4c000-0000-4000-8000-000000000300", Pkgs: pkgs.signed(),
		Content: bulk{Path: b.path("base-300m.bin"), Files: int(b.scale(15_000)), Bytes: b.scale(300 * mb), Seed: 4}}
	cache := filepath.Join(b.dir, ".engbld-build-cache")
	bits, raw := filepath.Join(b.tmp, "bits"), filepath.Join(b.tmp, "increment.zfs")
	run := func(ctx context.Context) (sample, error) {
		if err := os.RemoveAll(bits); err != nil {
			return sample{}, err
		}
		s, err := command(ctx, b.tmp, []string{"ENGBLD_CACHE_DIR=" + cache, "ENGBLD_IMAGE_SOURCE=" + img.Dir, "TMPDIR=" + b.tmp, "GOMAXPROCS=2",
			`BUILDIMAGE_MF={"name":"bench","version":"1.0.0"}`}, b.engbld, "image", "make", "--name", "bench", "--prefix", "bench-zfs",
			"--base", img.UUID, "--timestamp", benchTime, "--bits-dir", bits, "--packages", strings.Join(pkgs.names(), " "))
		s.Size = fileSize(filepath.Join(bits, "bench", "bench-zfs-1.0.0.zfs.gz"))
		return s, err
	}
	prepare := func(ctx context.Context) error {
		if err := pkgs.make(); err != nil {
			return err
		}
		var err error
		if img.Keyring, err = pkgs.keyring(); err != nil {
			return err
		}
		if err := img.make(ctx); err != nil {
			return err
		}
		if fileSize(raw) > 0 {
			return nil
		}
		if _, err := run(ctx); err != nil {
			return err
		}
		_, err = shell(ctx, "", nil, "gzip -dc < "+quote(filepath.Join(bits, "bench", "bench-zfs-1.0.0.zfs.gz"))+" > "+quote(raw))
		return err
	}
	cold := func(ctx context.Context) error {
		if err := prepare(ctx); err != nil {
			return err
		}
		return os.RemoveAll(cache)
	}
	out, stream := filepath.Join(b.tmp, "increment.gz"), filepath.Join(b.dir, ".engbld-base.zfs")
	pigz := "pigz -c " + quote(raw) + " > " + quote(out)
	anchor := func(what, line string) side {
		return side{what, prepare, func(ctx context.Context) (sample, error) {
			s, err := shell(ctx, "", nil, line)
			s.Size = fileSize(out)
			os.Remove(stream)
			return s, missingTool(err, "pigz")
		}}
	}
	return []row{
		{name: "build-cold", ours: side{"build an image: base of 300 MB, 100 MB of packages, nothing cached", cold, run},
			anchor: anchor("gunzip base + pigz increment", "gzip -dc < "+quote(img.file())+" > "+quote(stream)+"; "+pigz),
			target: "<= 0.8 x", judge: ratioAtMost(0.8, 0)},
		{name: "build-warm", ours: side{"the same, base cached", prepare, run}, anchor: anchor("pigz increment", pigz),
			target: "<= 0.6 x", judge: ratioAtMost(0.6, 0)},
	}
}

// clone copies the checkout as it stands, with one commit, so that nothing is
// written into the real one.
func (b *bench) clone(ctx context.Context) (string, error) {
	dir := filepath.Join(b.tmp, "checkout")
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	_, err := shell(ctx, b.Root, nil, "git ls-files -z -co --exclude-standard | tar -cf - --null --ignore-failed-read -T - | tar -xf - -C "+quote(dir))
	if err == nil {
		err = commit(ctx, dir)
	}
	return dir, err
}

func commit(ctx context.Context, dir string) error {
	_, err := shell(ctx, dir, nil, "git init -q -b master && git add -A && "+
		"git -c user.name=bench -c user.email=bench@example.invalid -c core.hooksPath=/dev/null commit -qm bench")
	return err
}

// makeEnv is the environment of a make that is run as from a shell.
func (b *bench) makeEnv(more ...string) []string {
	env := []string{"ENGBLD_CACHE_DIR=" + filepath.Join(b.dir, ".engbld-make-cache"), "ENGBLD_SANDBOX=true", "TIMESTAMP=" + benchTime,
		"MAKEFLAGS=", "MFLAGS=", "MAKELEVEL=", "GOFLAGS="}
	return append(env, more...)
}

// makeRows measure what goes through make.
func (b *bench) makeRows() []row {
	const flavor = "triton-origin-x86_64-24.4.1"
	once := func(ctx context.Context) error { // programs and caches are there
		dir, err := b.clone(ctx)
		if err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(dir, "bits", flavor)); err == nil {
			return nil
		}
		_, err = command(ctx, dir, b.makeEnv(), "make", "-j2", "all-buildimage")
		return err
	}
	inClone := func(env []string, args ...string) func(ctx context.Context) (sample, error) {
		return func(ctx context.Context) (sample, error) {
			dir, err := b.clone(ctx)
			if err != nil {
				return sample{}, err
			}
			return command(ctx, dir, b.makeEnv(env...), "make", args...)
		}
	}
	anew := func(ctx context.Context) error {
		if err := once(ctx); err != nil {
			return err
		}
		dir, err := b.clone(ctx)
		if err != nil {
			return err
		}
		_, err = shell(ctx, dir, nil, "rm -rf bits make_stamps images/*/make_stamps images/*/flavor.sandbox.lock")
		return err
	}
	component := func(name, eng string) func(ctx context.Context) (sample, error) {
		return func(ctx context.Context) (sample, error) {
			dir := filepath.Join(b.tmp, name)
			if _, err := os.Stat(dir); err != nil {
				if err := b.component(ctx, dir, eng); err != nil {
					return sample{}, err
				}
			}
			// Ten at a time: one is too short for the clock.
			s, err := shell(ctx, dir, b.makeEnv("ENGBLD_SKIP_VALIDATE_BUILDENV=true", "TIMESTAMP="),
				"for i in 1 2 3 4 5 6 7 8 9 10; do make print-STAMP; done")
			s.Seconds, s.CPU = s.Seconds/10, s.CPU/10
			return s, err
		}
	}
	// What two cores give at all is measured beside each run: other programs on
	// the machine, and cores that share their parts, take as much from that.
	var gains []float64
	atOnce := inClone(nil, "-j2", "all-buildimage")
	beside := func(ctx context.Context) (sample, error) {
		gain, err := b.gain(ctx)
		if err != nil {
			return sample{}, err
		}
		gains = append(gains, gain)
		return atOnce(ctx)
	}
	// With its inputs pinned, a build knows that there is nothing to do.
	lockFile := filepath.Join("images", flavor, "flavor.sandbox.lock")
	locked := func(ctx context.Context) error {
		if err := once(ctx); err != nil {
			return err
		}
		dir, err := b.clone(ctx)
		if err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(dir, lockFile)); err == nil {
			return nil
		}
		if _, err = command(ctx, dir, b.makeEnv(), filepath.Join("tools", "engbld.sh"), "lock", flavor); err != nil {
			return err
		}
		_, err = command(ctx, dir, b.makeEnv(), "make", flavor+"-buildimage")
		return err
	}
	rows := []row{
		{name: "nothing-to-do", ours: side{"make " + flavor + "-buildimage again, same lock and stamp", locked, inClone(nil, flavor+"-buildimage")},
			anchor: side{"make print-STAMP", once, inClone(nil, "print-STAMP")},
			target: "+ <= 100 ms", judge: func(ours, anchor sample) verdict {
				more := ours.Seconds - anchor.Seconds
				return verdict{fmt.Sprintf("+ %.0f ms", more*1000), more <= 0.1}
			}},
		{name: "six-flavors", ours: side{"make -j2 all-buildimage", anew, beside},
			anchor: side{"one flavor after another, GOMAXPROCS=1", anew, inClone([]string{"GOMAXPROCS=1"}, "all-buildimage")},
			target: ">= 1.7 x faster", judge: func(ours, anchor sample) verdict {
				f := anchor.Seconds / ours.Seconds
				return verdict{fmt.Sprintf("%.2f x faster (two plain loops %.2f x)", f, middleOf(gains)), f >= 1.7}
			}},
	}
	stamp := row{name: "print-STAMP", ours: side{what: "make print-STAMP in a component"},
		anchor: side{what: "upstream's makefiles", prepare: nil, run: component("component-theirs", b.Upstream)},
		target: "<= 0.8 x", judge: ratioAtMost(0.8, 0)}
	stamp.ours.run = func(ctx context.Context) (sample, error) {
		dir, err := b.clone(ctx)
		if err != nil {
			return sample{}, err
		}
		return component("component-ours", dir)(ctx)
	}
	if b.Upstream == "" {
		stamp.skip = "ENGBLD_UPSTREAM_ENG names no checkout of upstream's eng"
	}
	return append(rows, stamp)
}

// component makes a small component that builds with the makefiles in eng.
func (b *bench) component(ctx context.Context, dir, eng string) error {
	if _, err := os.Stat(filepath.Join(eng, "tools", "mk", "Makefile.defs")); err != nil {
		return &missingError{fmt.Sprintf("no makefiles in %s", eng)}
	}
	if err := os.MkdirAll(filepath.Join(dir, "deps"), 0o755); err != nil {
		return err
	}
	makefile := "NAME = bench\n" +
		"include ./deps/eng/tools/mk/Makefile.defs\n" +
		"all:\n\t@true\n" +
		"include ./deps/eng/tools/mk/Makefile.deps\n" +
		"include ./deps/eng/tools/mk/Makefile.targ\n"
	if err := os.WriteFile(filepath.Join(dir, "Makefile"), []byte(makefile), 0o644); err != nil {
		return err
	}
	// Files and not a link to them: as a component's submodule.
	if out, err := exec.CommandContext(ctx, "cp", "-R", eng, filepath.Join(dir, "deps", "eng")).CombinedOutput(); err != nil {
		return fmt.Errorf("copying the makefiles: %w\n%s", err, tail(string(out)))
	}
	if err := os.RemoveAll(filepath.Join(dir, "deps", "eng", ".git")); err != nil {
		return err
	}
	return commit(ctx, dir)
}

// uploadRow measures an upload to a local directory.
func (b *bench) uploadRow() row {
	content := bulk{Path: b.path("upload/bench/bench-zfs-1.bin"), Files: 4, Bytes: b.scale(2000 * mb), Seed: 6}
	bits, dest, copied := b.path("upload"), b.path(".engbld-uploaded"), b.path(".engbld-copied")
	prepare := func(context.Context) error {
		for _, p := range []string{dest, copied} {
			if err := os.RemoveAll(p); err != nil {
				return err
			}
		}
		if err := content.make(); err != nil {
			return err
		}
		if err := os.MkdirAll(dest, 0o755); err != nil {
			return err
		}
		_, err := shell(context.Background(), "", nil, "cat "+quote(content.Path)+" > /dev/null; sync "+quote(content.Path))
		return err
	}
	return row{name: "upload", ours: side{"bits-upload of 2 GB to a directory", prepare, func(ctx context.Context) (sample, error) {
		return command(ctx, bits, []string{"TIMESTAMP=" + benchTime, "ENGBLD_BITS_UPLOAD_ALLOW_DIRTY=true"}, b.engbld,
			"bits-upload", "-b", "master", "-L", "-d", dest, "-D", bits, "-n", "bench", "-t", "master-"+benchTime)
	}}, anchor: side{"cp + md5sum", prepare, func(ctx context.Context) (sample, error) {
		return shell(ctx, "", nil, "cp "+quote(content.Path)+" "+quote(copied)+"; md5sum "+quote(content.Path)+" > /dev/null")
	}}, target: "<= 1.05 x", judge: ratioAtMost(1.05, 0)}
}

// growthRows compare small and large inputs of the same kind.
func (b *bench) growthRows() []row {
	side1 := func(what string, files int, bytes int64, every int) side {
		in := growthInput{b.dir, files, bytes, every}
		return side{what, in.make, func(ctx context.Context) (sample, error) { return b.self(ctx, 2, "growth", in) }}
	}
	judge := func(time, memory float64) func(ours, anchor sample) verdict {
		return func(ours, anchor sample) verdict {
			t, m := ours.Seconds/anchor.Seconds, float64(ours.Peak)/float64(anchor.Peak)
			return verdict{fmt.Sprintf("time %.1f, memory %.2f", t, m), t <= time && m <= memory}
		}
	}
	most := func(limit int64) func(ours, _ sample) verdict {
		return func(ours, _ sample) verdict {
			return verdict{fmt.Sprintf("%d MB", ours.Peak/1e6), ours.Peak <= limit}
		}
	}
	files, bytes := int(b.scale(20_000)), b.scale(50*mb)
	return []row{
		{name: "growth-files", ours: side1("10 x the files", 10*files, bytes*10, 10), anchor: side1("files", files, bytes, 10),
			target: "time <= 11 x, memory <= 11 x", judge: judge(11, 11), runs: 3},
		{name: "growth-bytes", ours: side1("10 x the bytes", files, bytes*20, 1), anchor: side1("bytes", files, bytes*2, 1),
			target: "time <= 11 x, memory <= 1.2 x", judge: judge(11, 1.2), runs: 3},
		{name: "million-files", ours: side1("1,000,000 files", 1_000_000, 1_000_000*600, 10), target: "<= 1 GB", judge: most(1e9), runs: 1, long: true},
		{name: "ten-gigabytes", ours: side1("10 GB of content", 5000, 10e9, 10), target: "<= 150 MB", judge: most(150e6), runs: 1, long: true},
	}
}
