package native

import (
	"os"
	"path"
	"strconv"
	"strings"
)

// Platform is how a system mounts directories a second time, and tells what is
// mounted. Illumos and Linux are the ones there are.
type Platform struct {
	Name  string
	Zones bool // it has zones with delegated datasets

	loop   func(dir, at string) []Command // mounts dir at another place, read-only
	table  string                         // file with a line a mount
	column int                            // of the mount point in it
	users  func(mountpoint string) []int  // processes that use a mounted file system; nil: fuser does it
}

// Illumos mounts with lofs, as upstream does.
func Illumos() *Platform {
	return &Platform{Name: "illumos", Zones: true, table: "/etc/mnttab", column: 1, loop: func(dir, at string) []Command {
		return []Command{{Path: "mount", Args: []string{"-F", "lofs", "-o", "ro", dir, at}}}
	}}
}

// Linux binds; the first mount of a bind cannot be read-only everywhere.
func Linux() *Platform {
	return &Platform{Name: "linux", table: "/proc/self/mounts", column: 1, users: processesBelow, loop: func(dir, at string) []Command {
		return []Command{
			{Path: "mount", Args: []string{"--bind", dir, at}},
			{Path: "mount", Args: []string{"-o", "remount,ro,bind", at}},
		}
	}}
}

// mounted lists the mount points of this machine, in the order they were mounted.
func (p *Platform) mounted() ([]string, error) {
	raw, err := os.ReadFile(p.table)
	if err != nil {
		return nil, err
	}
	var list []string
	for line := range strings.Lines(string(raw)) {
		fields := strings.Fields(line)
		if len(fields) > p.column {
			list = append(list, path.Clean(unescape(fields[p.column])))
		}
	}
	return list, nil
}

// unescape reads a name as Linux's mount table writes it: blanks and backslashes
// as three octal digits.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// processesBelow finds processes whose root, working directory or program is
// below a directory.
func processesBelow(dir string) (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		for _, link := range []string{"root", "cwd", "exe"} {
			to, err := os.Readlink(path.Join("/proc", e.Name(), link))
			if err == nil && (to == dir || strings.HasPrefix(to, dir+"/")) {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids
}
