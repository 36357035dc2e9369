package app

import "testing"

func TestPublicAddress(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                   "",
		"https://example.invalid/x.git":      "https://example.invalid/x.git",
		"https://me:token@example.invalid/x": "https://example.invalid/x",
		"https://token@example.invalid/x":    "https://example.invalid/x",
		"ssh://git:pw@example.invalid/x":     "ssh://git@example.invalid/x",
		"git@example.invalid:x/y.git":        "git@example.invalid:x/y.git",
		"/some/where/x":                      "/some/where/x",
	} {
		if got := publicAddress(in); got != want {
			t.Errorf("publicAddress(%q) = %q, want %q", in, got, want)
		}
	}
}
