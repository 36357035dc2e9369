package build

import "testing"

// A shell must take the line that says how to install an image.
func TestShellWord(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"/srv/bits/x-zfs-main-20260101T000000Z-gabc.zfs.gz": "/srv/bits/x-zfs-main-20260101T000000Z-gabc.zfs.gz",
		"/srv/my bits/x.zfs.gz":                             "'/srv/my bits/x.zfs.gz'",
		"/srv/it's/$x":                                      `'/srv/it'\''s/$x'`,
	} {
		if got := shellWord(in); got != want {
			t.Errorf("shellWord(%q) = %s, want %s", in, got, want)
		}
	}
}
