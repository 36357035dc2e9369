package build

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/native"
)

// machine stands for an illumos zone with a delegated dataset: datasets,
// snapshots, clones, mounts. It is strict: what is out of order is refused.
type machine struct {
	t    *testing.T
	pool string
	zone string

	commands []native.Command
	lines    []string                       // the commands, with D for the delegated dataset, M for the mount point
	fault    func(line string) error        // makes a command fail before it does anything
	sets     map[string]*set                // datasets
	mounts   []string                       // loop mounts
	files    map[string]string              // of the clone when it was unmounted: content, "dir" of directories
	looked   []string                       // names that were resolved, with the number of commands before
	lookup   func(string) ([]string, error) // nil: 192.0.2.1
	tools    map[string]func(io.Writer) error
	state    string
	ids      int
}

type set struct {
	snapshots  []string
	properties map[string]string
	origin     string
	mountpoint string // "": not mounted
	zoned      bool
}

const machineID = "5eed0000-0000-4000-8000-0000000000%02x"

func newMachine(t *testing.T) *machine {
	m := &machine{t: t, pool: "zones", zone: "0a1b2c3d-1111-4000-8000-00000000000a", sets: map[string]*set{}, files: map[string]string{}, state: filepath.Join(t.TempDir(), "state")}
	m.tools = map[string]func(io.Writer) error{
		"pkg_info -a": func(w io.Writer) error {
			_, err := io.WriteString(w, "curl-8.11.1         Client that groks URLs\nzlib-1.3.1          Compression\n")
			return err
		},
		"pkg_admin audit": func(w io.Writer) error {
			io.WriteString(w, "Package zlib-1.3.1 has a b vulnerability, see x\nPackage curl-8.11.1 has an a vulnerability, see y\n")
			return &native.ExitError{Command: "audit", Code: 1}
		},
	}
	m.sets[m.pool] = &set{}
	m.sets[m.pool+"/"+m.zone] = &set{}
	m.sets[m.dataset()] = &set{zoned: true}
	return m
}

func (m *machine) dataset() string { return m.pool + "/" + m.zone + "/data" }

// options are the native engine's, on this machine.
func (m *machine) options() *native.Options {
	root := 0
	return &native.Options{
		Runner: m, Platform: native.Illumos(), StateDir: m.state, UID: &root,
		NewID:   func() string { m.ids++; return fmt.Sprintf(machineID, m.ids) },
		Mounted: m.mounted, Wait: func(time.Duration) {},
		Lookup: func(_ context.Context, host string) ([]string, error) {
			m.looked = append(m.looked, fmt.Sprintf("%s after %d commands", host, len(m.lines)))
			if m.lookup != nil {
				return m.lookup(host)
			}
			return []string{"192.0.2.1"}, nil
		},
	}
}

func (m *machine) mounted() ([]string, error) {
	list := slices.Clone(m.mounts)
	for _, s := range m.sets {
		if s.mountpoint != "" {
			list = append(list, s.mountpoint)
		}
	}
	return list, nil
}

func (m *machine) Run(ctx context.Context, c native.Command) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	line := c.String()
	for i := m.ids; i > 0; i-- {
		id := fmt.Sprintf(machineID, i)
		line = strings.ReplaceAll(strings.ReplaceAll(line, filepath.Join(m.state, "mnt-"+id), "M"), id, "ID")
	}
	line = strings.ReplaceAll(line, m.dataset(), "D")
	m.commands, m.lines = append(m.commands, c), append(m.lines, line)
	if m.fault != nil {
		if err := m.fault(line); err != nil {
			return err
		}
	}
	if c.Func != nil {
		return c.Func(ctx)
	}
	err := m.do(c)
	if err != nil && !errors.As(err, new(*native.ExitError)) {
		m.t.Logf("%s: %v", line, err)
	}
	return err
}

func (m *machine) do(c native.Command) error {
	a := c.Args
	bad := fmt.Errorf("not expected: %s", c)
	switch c.Path {
	case "zonename":
		_, err := fmt.Fprintln(c.Stdout, m.zone)
		return err
	case "zfs":
		return m.zfs(c, a[0], a[1:])
	case "mount":
		if len(a) != 6 || !slices.Equal(a[:4], []string{"-F", "lofs", "-o", "ro"}) || slices.Contains(m.mounts, a[5]) {
			return bad
		}
		if fi, err := os.Stat(a[5]); err != nil || !fi.IsDir() {
			return bad
		}
		m.mounts = append(m.mounts, a[5])
		return nil
	case "umount":
		i := slices.Index(m.mounts, a[0])
		if len(a) != 1 || i < 0 {
			return bad
		}
		m.mounts = slices.Delete(m.mounts, i, i+1)
		return nil
	case "fuser":
		return nil
	case "chroot":
		return m.chroot(c, a[0], a[1:])
	}
	return bad
}

func (m *machine) chroot(c native.Command, root string, args []string) error {
	for _, d := range []string{"/dev", "/lib", "/proc", "/sbin", "/usr"} {
		if !slices.Contains(m.mounts, root+d) {
			return fmt.Errorf("chroot: %s is not mounted", d)
		}
	}
	if f := m.tools[strings.Join(append([]string{filepath.Base(args[0])}, args[1:]...), " ")]; f != nil {
		return f(c.Stdout)
	}
	return nil
}

func (m *machine) zfs(c native.Command, verb string, a []string) error {
	bad := fmt.Errorf("zfs refuses: %s", c)
	last := ""
	if len(a) > 0 {
		last = a[len(a)-1]
	}
	have := m.sets[last]
	switch verb {
	case "list":
		return m.list(c, a)
	case "get":
		if have == nil {
			return bad
		}
		if v, ok := have.properties[a[len(a)-2]]; ok {
			fmt.Fprintln(c.Stdout, v)
		}
		return nil
	case "set":
		k, v, _ := strings.Cut(a[0], "=")
		if have == nil {
			return bad
		}
		have.properties[k] = v
		return nil
	case "receive":
		if have != nil || a[0] != "-u" {
			return bad
		}
		n, err := io.Copy(io.Discard, c.Stdin)
		if err != nil || n == 0 {
			return bad
		}
		m.sets[last] = &set{snapshots: []string{"sent"}, properties: map[string]string{}}
		return nil
	case "rename":
		if from, snap, ok := strings.Cut(a[0], "@"); ok {
			i := slices.Index(m.sets[from].snapshots, snap)
			if i < 0 {
				return bad
			}
			m.sets[from].snapshots[i] = strings.TrimPrefix(a[1], from+"@")
			return nil
		}
		if m.sets[a[0]] == nil || have != nil {
			return bad
		}
		m.sets[last] = m.sets[a[0]]
		delete(m.sets, a[0])
		return nil
	case "clone":
		return m.clone(a)
	case "unmount":
		if have == nil || have.mountpoint == "" || m.under(have.mountpoint) {
			return bad
		}
		m.unmount(have)
		return nil
	case "snapshot":
		name, snap, _ := strings.Cut(last, "@")
		if s := m.sets[name]; s == nil || s.mountpoint != "" || len(s.snapshots) > 0 {
			return bad
		} else {
			s.snapshots = []string{snap}
		}
		return nil
	case "send":
		from, to := a[1], a[2]
		name, snap, _ := strings.Cut(to, "@")
		if s := m.sets[name]; a[0] != "-i" || s == nil || s.origin != from || !slices.Contains(s.snapshots, snap) {
			return bad
		}
		return sendReference(c.Stdout)
	case "destroy":
		if have == nil || a[0] != "-r" || have.mountpoint != "" && m.under(have.mountpoint) {
			return bad
		}
		for _, s := range m.sets {
			if strings.HasPrefix(s.origin, last+"@") {
				return bad
			}
		}
		if have.mountpoint != "" {
			m.unmount(have)
		}
		delete(m.sets, last)
		return nil
	}
	return bad
}

func (m *machine) list(c native.Command, a []string) error {
	var lines []string
	recursive := slices.Contains(a, "-r")
	for name, s := range m.sets {
		if recursive && name != a[len(a)-1] && !strings.HasPrefix(name, a[len(a)-1]+"/") {
			continue
		}
		if slices.Contains(a, "name,zoned") {
			name += "\t" + map[bool]string{true: "on", false: "off"}[s.zoned]
		}
		lines = append(lines, name+"\n")
		for _, snap := range s.snapshots {
			if recursive {
				lines = append(lines, name+"@"+snap+"\n")
			}
		}
	}
	slices.Sort(lines)
	_, err := io.WriteString(c.Stdout, strings.Join(lines, ""))
	return err
}

func (m *machine) clone(a []string) error {
	bad := fmt.Errorf("zfs refuses: clone %s", strings.Join(a, " "))
	name, snap, _ := strings.Cut(a[4], "@")
	if m.sets[name] == nil || !slices.Contains(m.sets[name].snapshots, snap) || m.sets[a[5]] != nil {
		return bad
	}
	s := &set{origin: a[4], properties: map[string]string{}}
	for _, i := range []int{1, 3} {
		k, v, _ := strings.Cut(a[i], "=")
		s.properties[k] = v
	}
	s.mountpoint = s.properties["mountpoint"]
	if list, err := os.ReadDir(s.mountpoint); err != nil || len(list) > 0 {
		return bad
	}
	for _, d := range []string{"root/dev", "root/lib", "root/proc", "root/sbin", "root/usr", "root/etc", "root/var/db/pkgin/cache", "root/var/db/pkg", "root/curl", "root/opt/local/pkg", "cores", "config"} {
		if err := os.MkdirAll(filepath.Join(s.mountpoint, d), 0o755); err != nil {
			return err
		}
	}
	for _, f := range []string{"root/etc/motd", "root/curl/file", "root/var/db/pkgin/pkgin.db", "config/stray"} {
		if err := os.WriteFile(filepath.Join(s.mountpoint, f), []byte("base's\n"), 0o644); err != nil {
			return err
		}
	}
	m.sets[a[5]] = s
	return nil
}

func (m *machine) under(dir string) bool {
	return slices.ContainsFunc(m.mounts, func(s string) bool { return strings.HasPrefix(s, dir+"/") })
}

// unmount keeps what was there in m.files.
func (m *machine) unmount(s *set) {
	clear(m.files)
	filepath.WalkDir(s.mountpoint, func(path string, d os.DirEntry, err error) error {
		rel, _ := filepath.Rel(s.mountpoint, path)
		if d.IsDir() {
			m.files[rel] = "dir"
		} else if raw, err := os.ReadFile(path); err == nil {
			m.files[rel] = string(raw)
		}
		return nil
	})
	list, _ := os.ReadDir(s.mountpoint)
	for _, e := range list {
		os.RemoveAll(filepath.Join(s.mountpoint, e.Name()))
	}
	s.mountpoint = ""
}

// sendReference writes a stream that real ZFS sent.
func sendReference(w io.Writer) error {
	f, err := os.Open("../sandbox/data/images/41bd4100-eb86-409a-85b0-e649aadf6f62/file.zfs.gz")
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, z)
	return err
}

// left lists what is there and should not be.
func (m *machine) left() (list []string) {
	for name := range m.sets {
		if short := strings.TrimPrefix(name, m.dataset()+"/"); short != name && (strings.Contains(short, "partial") || strings.HasPrefix(short, "5eed")) {
			list = append(list, name)
		}
	}
	list = append(list, m.mounts...)
	names, _ := os.ReadDir(m.state)
	for _, e := range names {
		list = append(list, e.Name())
	}
	slices.Sort(list)
	return list
}
