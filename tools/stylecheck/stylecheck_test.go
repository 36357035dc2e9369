package stylecheck

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBash(t *testing.T) {
	t.Parallel()
	x := func(n int) string { return strings.Repeat("x", n) }
	tests := []struct {
		name, text string
		want       []string // line numbers and the first word of what is said
	}{
		{"good", "#!/bin/bash\nif [[ -n \"$1\" ]]; then\n\techo hi\nfi\n", nil},
		{"80 columns", x(80) + "\n", nil},
		{"81 columns", x(81) + "\n", []string{"1: line exceeds"}},
		{"81 wide characters", strings.Repeat("é", 80) + "\n", nil},
		{"tab at the start", "\t" + x(72) + "\n", nil},
		{"tab at the start, too long", "\t" + x(73) + "\n", []string{"1: line exceeds"}},
		{"tab after text", "xxxxxxx\t" + x(72) + "\n", nil},                             // the tab is one column wide
		{"tabs after text", "xxxx\txxxx\t" + x(65) + "\n", []string{"1: line exceeds"}}, // 16 and 65
		{"trailing blank", "true \n", []string{"1: line ends"}},                         //
		{"trailing tab", "true\t\n", []string{"1: line ends"}},                          //
		{"single bracket", "if [ -n x ]; then\n", []string{"1: prefer"}},                //
		{"single bracket at the end", "[ -n x ]\n", []string{"1: prefer"}},              //
		{"array index", "echo ${a[1]} ${a[ 1 ]\n", []string{"1: prefer"}},               //
		{"local", "\tlocal x=$(ls)\n\tlocal y=$z\n", []string{"1: \"local"}},            //
		{"no newline", "true", []string{"1: file does"}},                                //
		{"blank end", "true\n\n", []string{"2: file ends"}},                             //
		{"empty", "", nil}, //
		{"next line exempt", "# BASHSTYLED\n[ -n x ] \n[ -n y ]\n", []string{"3: prefer"}},               //
		{"block", "# BEGIN BASHSTYLED\n[ x ] \n# END BASHSTYLED\n[ x ]\n", []string{"4: prefer"}},        //
		{"begin only", "true\n# BEGIN BASHSTYLED\n[ x ]\n", []string{"2: BEGIN"}},                        //
		{"end only", "# END BASHSTYLED\n", []string{"1: END"}},                                           //
		{"several", "[ -n " + x(80) + " ] \n", []string{"1: prefer", "1: line exceeds", "1: line ends"}}, //
	}
	for _, tt := range tests {
		got := Bash("f", []byte(tt.text))
		ok := len(got) == len(tt.want)
		for i := range got {
			ok = ok && strings.HasPrefix(got[i], "f: "+tt.want[i])
		}
		if !ok {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// repo is a clone of a repository with one commit on branch.
func repo(t *testing.T, branch string) (dir string, git func(args ...string)) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	top := t.TempDir()
	run := func(dir string, args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-c", "protocol.file.allow=always"}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.invalid",
			"GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.invalid", "GIT_AUTHOR_DATE=2020-06-01T00:00:00Z", "GIT_COMMITTER_DATE=2020-06-01T00:00:00Z")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
	}
	up := filepath.Join(top, "up")
	run(top, "init", "-q", "-b", branch, "up")
	if err := os.WriteFile(filepath.Join(up, "old"), []byte("# Copyright 2010 MNX Cloud, Inc.\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	run(up, "add", ".")
	run(up, "commit", "-qm", "1")
	run(top, "clone", "-q", "up", "a work tree")
	dir = filepath.Join(top, "a work tree")
	return dir, func(args ...string) { t.Helper(); run(dir, args...) }
}

func TestCopyright(t *testing.T) {
	t.Parallel()
	const good, bad = "# Copyright 2026 Edgecast Cloud LLC.\n", "# Copyright 2019 Edgecast Cloud LLC.\n"
	tests := []struct {
		name   string
		branch string // of origin; "" is master
		file   string // content of the changed file
		how    string // staged, committed, untracked
		opts   CopyrightOptions
		want   Level
		text   string // part of the remark
	}{
		{"no line", "", "text\n", "staged", CopyrightOptions{}, Info, "no copyright"},
		{"good", "", good, "staged", CopyrightOptions{}, Info, "good"},
		{"old year", "", bad, "staged", CopyrightOptions{}, Error, "2026"},
		{"old year, excluded", "", bad, "staged", CopyrightOptions{Exclude: map[string]bool{"a new file": true}}, Info, "-x"},
		{"year elsewhere in the line", "", "/* 2026: */ # Copyright 2019 Edgecast Cloud LLC.\n", "staged", CopyrightOptions{}, Error, "2026"},
		{"year within a number", "", "# Copyright 120261 Edgecast Cloud LLC.\n", "staged", CopyrightOptions{}, Error, "2026"},
		{"form", "", "# Copyright (c) 2026 Edgecast Cloud LLC\n", "staged", CopyrightOptions{}, Error, "does not end"},
		{"form, warned of", "", "# Copyright (c) 2026 Edgecast Cloud LLC\n", "staged", CopyrightOptions{WarnForm: true}, Warning, "does not end"},
		{"MNX", "", "# Copyright 2026 MNX Cloud, Inc.\n", "staged", CopyrightOptions{}, Error, "MNX"},
		{"MNX and Edgecast", "", "# Copyright 2019 MNX Cloud, Inc.\n" + good, "staged", CopyrightOptions{}, Info, "good"},
		{"block comment", "", "/* Copyright 2026 Edgecast Cloud LLC. */\n", "staged", CopyrightOptions{}, Info, "good"},
		{"XML comment", "", "<!-- Copyright 2026 Edgecast Cloud LLC. -->\n", "staged", CopyrightOptions{}, Info, "good"},
		{"no newline", "", strings.TrimSpace(good), "staged", CopyrightOptions{}, Info, "good"},
		{"after a long line", "", strings.Repeat("x", 1<<20) + "\n" + good, "staged", CopyrightOptions{}, Info, "good"},
		{"committed", "", "# Copyright 2020 Edgecast Cloud LLC.\n", "committed", CopyrightOptions{}, Info, "good"},
		{"committed, this year", "", good, "committed", CopyrightOptions{}, Error, "2020"},
		{"committed on main", "main", good, "committed", CopyrightOptions{}, Error, "2020"},
		{"committed, against a branch that is not there", "", good, "committed", CopyrightOptions{Branch: "nosuch"}, Info, ""},
		{"untracked", "", bad, "untracked", CopyrightOptions{}, Warning, "2026"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.branch == "" {
				tt.branch = "master"
			}
			dir, git := repo(t, tt.branch)
			if err := os.WriteFile(filepath.Join(dir, "a new file"), []byte(tt.file), 0o666); err != nil {
				t.Fatal(err)
			}
			if tt.how != "untracked" {
				git("add", ".")
			}
			if tt.how == "committed" {
				git("commit", "-qm", "2")
			}
			opts := tt.opts
			opts.Dir, opts.Now = dir, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
			got, err := Copyright(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			if tt.text == "" {
				if len(got) > 0 {
					t.Errorf("got %v, want nothing", got)
				}
				return
			}
			if len(got) != 1 || got[0].Level != tt.want || got[0].File != "a new file" || !strings.Contains(got[0].Text, tt.text) {
				t.Errorf("got %v, want %v: %q", got, tt.want, tt.text)
			}
		})
	}
}

func TestEachLine(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("y", maxLine+5)
	var got []string
	err := eachLine(strings.NewReader("a\n\n"+long+"\nb"), func(l string) bool { got = append(got, l); return true })
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"a", "", long[:maxLine], "b"}, got); d != "" {
		t.Error(d)
	}
}
