package dataset

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/oracle"
)

// changer makes random changes to a tree and counts their kinds.
type changer struct {
	t      testing.TB
	r      *rand.Rand
	tree   *fstree.Tree
	counts map[string]int
	serial int
	dirs   []string // of the tree as it is, "" the root
	others []string
}

func newChanger(t testing.TB, seed uint64) *changer {
	return &changer{t: t, r: rand.New(rand.NewPCG(seed, 0)), counts: make(map[string]int)}
}

// look lists what there is; the random choices need an order.
func (c *changer) look() {
	c.dirs, c.others = nil, nil
	c.tree.Walk(func(p string, n *fstree.Node) error {
		if n.IsDir() {
			c.dirs = append(c.dirs, p)
		} else {
			c.others = append(c.others, p)
		}
		return nil
	})
}

// apply makes n changes.
func (c *changer) apply(tree *fstree.Tree, n int) {
	c.tree = tree
	var kinds []string
	for kind := range changes {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	for range n {
		c.look()
		// The rarest kind half of the time, so that all are hit soon.
		kind := kinds[c.r.IntN(len(kinds))]
		if c.r.IntN(2) == 0 {
			for _, k := range kinds {
				if c.counts[k] < c.counts[kind] {
					kind = k
				}
			}
		}
		if changes[kind](c) {
			c.counts[kind]++
		}
	}
}

func (c *changer) must(err error) bool {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
	return true
}

func (c *changer) dir() string { return c.dirs[c.r.IntN(len(c.dirs))] }

// pick finds a name that is no directory and for which ok holds, "" if none does.
func (c *changer) pick(ok func(*fstree.Node) bool) (string, *fstree.Node) {
	for range 50 {
		if len(c.others) == 0 {
			return "", nil
		}
		p := c.others[c.r.IntN(len(c.others))]
		if n, err := c.tree.Lstat(p); err == nil && ok(n) {
			return p, n
		}
	}
	return "", nil
}

// pickDir finds a directory that is not the root.
func (c *changer) pickDir(ok func(*fstree.Node) bool) (string, *fstree.Node) {
	for range 50 {
		p := c.dir()
		if n, err := c.tree.Lstat(p); err == nil && p != "." && ok(n) {
			return p, n
		}
	}
	return "", nil
}

func anyNode(*fstree.Node) bool        { return true }
func regular(n *fstree.Node) bool      { return n.IsRegular() }
func symlink(n *fstree.Node) bool      { return n.IsSymlink() }
func severalNames(n *fstree.Node) bool { return n.Names() > 1 }

func (c *changer) name() string {
	c.serial++
	s := fmt.Sprintf("n%d", c.serial)
	switch c.r.IntN(12) {
	case 0:
		s += strings.Repeat("x", c.r.IntN(250-len(s)))
	case 1:
		s += " \t\n\\\x01\xff"
	case 2:
		s += "日本語"
	}
	return s
}

func (c *changer) fresh() string { return path.Join(c.dir(), c.name()) }

func (c *changer) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(c.r.Uint32())
	}
	return b
}

func (c *changer) size() int {
	sizes := []int{0, 1, 511, 512, 513, 4096, 131071, 131072, 131073, 300000}
	if c.r.IntN(3) > 0 {
		return c.r.IntN(3000)
	}
	return sizes[c.r.IntN(len(sizes))]
}

func (c *changer) perm() uint32 { return uint32(c.r.IntN(0o10000)) }

func (c *changer) newFile() *fstree.Node {
	return &fstree.Node{Mode: fstree.TypeRegular | c.perm(), UID: uint32(c.r.IntN(3)), GID: c.r.Uint32(), Content: fstree.Bytes(c.bytes(c.size()))}
}

func (c *changer) put(n *fstree.Node) bool { return c.must(c.tree.Put(c.fresh(), n)) }

func (c *changer) fill(dir string, count int, format string) {
	for i := range count {
		c.must(c.tree.Put(path.Join(dir, fmt.Sprintf(format, i)), &fstree.Node{Mode: fstree.TypeRegular | 0o644}))
	}
}

// replace puts n where something else was.
func (c *changer) replace(p string, n *fstree.Node) bool {
	return p != "" && c.must(c.tree.RemoveAll(p)) && c.must(c.tree.Put(p, n))
}

// changes are all kinds of change; each tells whether it found something to do.
var changes = map[string]func(*changer) bool{
	"add file":  func(c *changer) bool { return c.put(c.newFile()) },
	"add empty": func(c *changer) bool { return c.put(&fstree.Node{Mode: fstree.TypeRegular | c.perm()}) },
	"add directory": func(c *changer) bool {
		_, err := c.tree.Mkdir(c.fresh(), c.perm(), uint32(c.r.IntN(9)), 0)
		return c.must(err)
	},
	"add deep": func(c *changer) bool { return c.must(c.tree.MkdirAll(c.fresh()+"/a/b/c/d", 0o755)) },
	"add symlink": func(c *changer) bool {
		return c.put(&fstree.Node{Mode: fstree.TypeSymlink | 0o777, Target: strings.Repeat("t", 1+c.r.IntN(144))})
	},
	"add long symlink": func(c *changer) bool {
		return c.put(&fstree.Node{Mode: fstree.TypeSymlink | 0o777, Target: strings.Repeat("s", 145+c.r.IntN(900))})
	},
	"add character device": func(c *changer) bool {
		return c.put(&fstree.Node{Mode: fstree.TypeChar | 0o666, Rdev: uint64(c.r.IntN(300))<<32 | uint64(c.r.IntN(70000))})
	},
	"add block device": func(c *changer) bool { return c.put(&fstree.Node{Mode: fstree.TypeBlock | 0o600, Rdev: 8<<32 | 1}) },
	"add fifo":         func(c *changer) bool { return c.put(&fstree.Node{Mode: fstree.TypeFifo | 0o600}) },
	"add socket":       func(c *changer) bool { return c.put(&fstree.Node{Mode: fstree.TypeSocket | 0o777}) },
	"add sparse": func(c *changer) bool {
		b := make([]byte, 131072*4+c.r.IntN(200000))
		copy(b[131072*c.r.IntN(4)+c.r.IntN(1000):], "data")
		return c.put(&fstree.Node{Mode: fstree.TypeRegular | 0o644, Content: fstree.Bytes(b)})
	},
	"add zeros": func(c *changer) bool {
		return c.put(&fstree.Node{Mode: fstree.TypeRegular | 0o644, Content: fstree.Bytes(make([]byte, c.size()))})
	},
	"replace": func(c *changer) bool {
		p, _ := c.pick(anyNode)
		return p != "" && c.must(c.tree.Put(p, c.newFile()))
	},
	"rewrite in place": func(c *changer) bool {
		p, n := c.pick(regular)
		if p == "" {
			return false
		}
		n.Content, n.MTime = fstree.Bytes(c.bytes(c.size())), c.tree.Now
		return true
	},
	"append": func(c *changer) bool {
		return c.resize(func(b []byte) []byte { return append(b, c.bytes(1+c.r.IntN(140000))...) })
	},
	"truncate": func(c *changer) bool { return c.resize(func(b []byte) []byte { return b[:c.r.IntN(len(b)+1)] }) },
	"delete": func(c *changer) bool {
		p, _ := c.pick(anyNode)
		return p != "" && c.must(c.tree.Remove(p))
	},
	"delete directory": func(c *changer) bool {
		p, _ := c.pickDir(func(n *fstree.Node) bool { return n.Len() < 30 })
		return p != "" && c.must(c.tree.RemoveAll(p))
	},
	"empty directory": func(c *changer) bool {
		p, n := c.pickDir(func(n *fstree.Node) bool { return n.Len() > 0 && n.Len() < 50 })
		if p == "" {
			return false
		}
		for _, name := range n.List() {
			c.must(c.tree.RemoveAll(p + "/" + name))
		}
		return true
	},
	"rename": func(c *changer) bool {
		p, _ := c.pick(anyNode)
		return p != "" && c.must(c.tree.Rename(p, path.Join(path.Dir(p), c.name())))
	},
	"move": func(c *changer) bool {
		p, _ := c.pick(anyNode)
		return p != "" && c.must(c.tree.Rename(p, c.fresh()))
	},
	"move directory": func(c *changer) bool {
		p, _ := c.pickDir(anyNode)
		to := c.fresh()
		return p != "" && !strings.HasPrefix(to, p+"/") && c.must(c.tree.Rename(p, to))
	},
	"exchange": func(c *changer) bool {
		a, _ := c.pick(anyNode)
		b, _ := c.pick(anyNode)
		tmp := c.name()
		return a != "" && b != "" && a != b && c.must(c.tree.Rename(a, tmp)) && c.must(c.tree.Rename(b, a)) && c.must(c.tree.Rename(tmp, b))
	},
	"chmod": func(c *changer) bool {
		p, n := c.pick(func(n *fstree.Node) bool { return !n.IsSymlink() })
		if p != "" {
			n.SetPerm(c.perm())
		}
		return p != ""
	},
	"chmod directory": func(c *changer) bool {
		_, n := c.pickDir(anyNode)
		if n != nil {
			n.SetPerm(c.perm())
		}
		return n != nil
	},
	"set-id": func(c *changer) bool {
		_, n := c.pick(regular)
		if n != nil {
			n.Mode ^= 0o4000
		}
		return n != nil
	},
	"chown": func(c *changer) bool {
		_, n := c.pick(anyNode)
		if n != nil {
			n.UID, n.GID = c.r.Uint32(), c.r.Uint32()
		}
		return n != nil
	},
	"touch": func(c *changer) bool {
		_, n := c.pick(anyNode)
		if n != nil {
			n.MTime = fstree.Time{Sec: c.r.Int64N(1<<34) - 1<<33, Nsec: c.r.Int64N(1e9)}
		}
		return n != nil
	},
	"old time": func(c *changer) bool {
		_, n := c.pick(anyNode)
		if n != nil {
			n.MTime, n.CTime = fstree.Time{Sec: -86400, Nsec: 999999999}, fstree.Time{Sec: -5}
		}
		return n != nil
	},
	"hard link": func(c *changer) bool {
		p, _ := c.pick(anyNode)
		return p != "" && c.must(c.tree.Link(p, path.Join(path.Dir(p), c.name())))
	},
	"hard link elsewhere": func(c *changer) bool {
		p, _ := c.pick(anyNode)
		return p != "" && c.must(c.tree.Link(p, c.fresh()))
	},
	"unlink one of several": func(c *changer) bool {
		p, _ := c.pick(severalNames)
		return p != "" && c.must(c.tree.Remove(p))
	},
	"retarget symlink": func(c *changer) bool {
		_, n := c.pick(symlink)
		if n != nil {
			n.Target = strings.Repeat("r", 1+c.r.IntN(400))
		}
		return n != nil
	},
	"micro to fat by names": func(c *changer) bool {
		d := c.dir()
		return c.must(c.tree.Put(path.Join(d, fmt.Sprintf("%0100d", c.r.Uint64())), c.newFile()))
	},
	"micro to fat by number": func(c *changer) bool {
		if c.counts["micro to fat by number"] > 1 {
			return false // it is costly
		}
		d := c.fresh()
		c.must(c.tree.MkdirAll(d, 0o700))
		c.fill(d, 2047+c.r.IntN(900), "many-%d")
		return true
	},
	"fat to micro": func(c *changer) bool {
		for _, d := range c.dirs {
			n, _ := c.tree.Lstat(d)
			done := false
			for _, name := range n.List() {
				if len(name) > microName && d != "." {
					c.must(c.tree.RemoveAll(d + "/" + name))
					done = true
				}
			}
			if done {
				return true
			}
		}
		return false
	},
	"file to directory": func(c *changer) bool {
		p, _ := c.pick(regular)
		if p == "" {
			return false
		}
		c.must(c.tree.Remove(p))
		c.must(c.tree.MkdirAll(p+"/below", 0o755))
		return true
	},
	"directory to file": func(c *changer) bool {
		p, _ := c.pickDir(func(n *fstree.Node) bool { return n.Len() < 30 })
		return c.replace(p, c.newFile())
	},
	"directory to symlink": func(c *changer) bool {
		p, _ := c.pickDir(func(n *fstree.Node) bool { return n.Len() < 30 })
		return c.replace(p, &fstree.Node{Mode: fstree.TypeSymlink | 0o777, Target: "elsewhere"})
	},
	"symlink to file": func(c *changer) bool {
		p, _ := c.pick(symlink)
		return c.replace(p, c.newFile())
	},
	"file to symlink": func(c *changer) bool {
		p, _ := c.pick(regular)
		return c.replace(p, &fstree.Node{Mode: fstree.TypeSymlink | 0o777, Target: strings.Repeat("z", 200)})
	},
	"device to fifo in place": func(c *changer) bool {
		_, n := c.pick(func(n *fstree.Node) bool { return n.Type() == fstree.TypeChar })
		if n != nil {
			n.Mode = fstree.TypeFifo | n.Perm()
		}
		return n != nil
	},
	"root": func(c *changer) bool {
		c.tree.Root.SetPerm(0o700 | c.perm()&0o77)
		return true
	},
}

func (c *changer) resize(f func([]byte) []byte) bool {
	p, n := c.pick(func(n *fstree.Node) bool { return n.IsRegular() && n.Size() > 0 && n.Size() < 1<<20 })
	if p == "" {
		return false
	}
	b, err := n.ReadAll(1 << 20)
	c.must(err)
	n.Content, n.MTime = fstree.Bytes(f(b)), c.tree.Now
	return true
}

// randomChain puts rounds increments with random changes on base, each one read
// again and compared with what it should be; then real ZFS judges all of them.
func randomChain(t *testing.T, c *changer, chain []Layer, rounds, perRound int, o oracle.Options) {
	t.Helper()
	ctx := context.Background()
	check := CheckOptions{Linux: o.Linux}
	var want []string
	for round := range rounds {
		base, err := Read(ctx, chain, ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		now := fstree.Time{Sec: 1766000000 + int64(round), Nsec: 5}
		tree, err := base.Tree(now)
		if err != nil {
			t.Fatal(err)
		}
		c.apply(tree, perRound)
		want = listing(t, tree, base)
		incr := writeIncrement(t, base, tree, base.GUID()+1)
		incr.Name = fmt.Sprintf("increment %d", round)
		chain = append(chain, incr)
		ds, err := Read(ctx, chain, ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := ds.Listing(ctx, ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("round %d: listing differs (-want +got):\n%.3000s", round, d)
		}
		for _, p := range problems(t, ds, check) {
			t.Errorf("round %d: %v", round, p)
		}
		sameAgain(t, ds)
	}
	var files []string
	for _, l := range chain {
		files = append(files, saveLayer(t, l))
	}
	got := oracle.Check(t, o, files...)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("real ZFS lists otherwise (-want +got):\n%.3000s", d)
	}
}

// sameAgain writes an increment without changes, which must hold nothing.
func sameAgain(t testing.TB, ds *Dataset) {
	t.Helper()
	tree, err := ds.Tree(testTime)
	if err != nil {
		t.Fatal(err)
	}
	s, err := WriteIncrement(context.Background(), discard{}, ds, tree, Options{ToGUID: 1, ToName: "a@b", Now: testTime})
	if err != nil || s.Records != 2 {
		t.Errorf("an increment without changes has %d records (%v)", s.Records, err)
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// ownBase is a full stream of ours with random content.
func ownBase(t testing.TB, c *changer, n int) Layer {
	t.Helper()
	tree := fstree.New(testTime)
	c.must(tree.MkdirAll("root/etc", 0o755))
	c.apply(tree, n)
	return writeFull(t, tree, 1000)
}

// zmkfsBase is a random tree made into a file system by real ZAP, SA and DMU code.
func zmkfsBase(t testing.TB, c *changer) Layer {
	t.Helper()
	tree := fstree.New(testTime)
	c.apply(tree, 60)
	dir := t.TempDir()
	first := make(map[*fstree.Node]string)
	must(t, tree.Walk(func(p string, n *fstree.Node) error {
		p = filepath.Join(dir, "tree", p)
		if old, again := first[n]; again {
			return os.Link(old, p)
		}
		switch n.Type() {
		case fstree.TypeDir:
			return os.Mkdir(p, 0o755)
		case fstree.TypeSymlink:
			return os.Symlink(n.Target, p)
		case fstree.TypeRegular:
			b, err := n.ReadAll(1 << 20)
			if err != nil {
				return err
			}
			first[n] = p
			return os.WriteFile(p, b, 0o600)
		}
		return nil
	}))
	pool := filepath.Join(dir, "pool")
	must(t, os.Mkdir(pool, 0o755))
	if _, stderr, exit := oracle.Run(t, "zmkfs", pool, "i1@final", filepath.Join(dir, "tree")); exit != 0 {
		t.Fatalf("zmkfs: %s", stderr)
	}
	out, stderr, exit := oracle.Run(t, "zsend", pool, "i1@final")
	if exit != 0 {
		t.Fatalf("zsend: %s", stderr)
	}
	return Layer{R: strings.NewReader(out), Size: int64(len(out)), Name: "zmkfs"}
}

func randomTest(t *testing.T, rounds int, seed uint64) {
	const perChain = 6 // all bases have had their turn after 38 rounds
	counts := make(map[string]int)
	done := 0
	for i := 0; done < rounds; i++ {
		seed := seed + uint64(i)
		c := newChanger(t, seed)
		c.counts = counts
		n := min(perChain, rounds-done)
		var chain []Layer
		o := oracle.Options{Linux: true, RoundTrip: true}
		name := ""
		switch i % 7 {
		case 0:
			name, o.Linux, o.Every = "own", false, true
			chain = []Layer{ownBase(t, c, 60)}
		case 1:
			name, chain = "reuse", layers(t, "reuse-full", "reuse-incr")
		case 2:
			name, chain, o.Linux = "zmkfs", []Layer{zmkfsBase(t, c)}, false
		case 3:
			name, chain, n = "zoo", layers(t, "zoo-full"), min(n, 2)
		case 4:
			name, chain, o.AllPool = "large-dnode", layers(t, "large-dnode"), true
		case 5:
			name, chain, o.AllPool = "Lec", layers(t, "Lec"), true
		case 6:
			name, chain = "minimal", layers(t, "minimal-base")
		}
		t.Run(fmt.Sprintf("%s-seed-%d", name, seed), func(t *testing.T) {
			c.t = t
			t.Logf("seed %d on %s, %d rounds", seed, name, n)
			randomChain(t, c, chain, n, 40, o)
		})
		done += n
	}
	for kind := range changes {
		t.Logf("%4d × %s", counts[kind], kind)
		if counts[kind] == 0 {
			t.Errorf("no change of kind %q was made", kind)
		}
	}
}

// TestRandomTrees makes 18 increments of random changes, 40 where the oracle is
// required; ENGBLD_SEED repeats a run that failed.
func TestRandomTrees(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	rounds := 18
	if os.Getenv("ENGBLD_REQUIRE_ORACLE") == "1" {
		rounds = 40
	}
	randomTest(t, rounds, envNumber(t, "ENGBLD_SEED", 1))
}

// TestSoak makes ENGBLD_SOAK of them.
func TestSoak(t *testing.T) {
	rounds := envNumber(t, "ENGBLD_SOAK", 0)
	if rounds == 0 {
		t.Skip("ENGBLD_SOAK is not set")
	}
	randomTest(t, int(rounds), envNumber(t, "ENGBLD_SEED", rand.Uint64N(1e9)))
}

func envNumber(t testing.TB, name string, otherwise uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
