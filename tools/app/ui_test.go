package app

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

// Uploads that run at once may be the first to speak: there is one UI all the
// same, whose lines stay whole.
func TestOneUI(t *testing.T) {
	t.Parallel()
	var story bytes.Buffer
	a := &app{env: Env{Stderr: &story, Now: time.Now, Getenv: func(string) string { return "" }}}
	var g sync.WaitGroup
	const speakers = 8
	for range speakers {
		g.Go(func() { a.infof("uploaded") })
	}
	g.Wait()
	if got := strings.Count(story.String(), "uploaded\n"); got != speakers {
		t.Errorf("%d lines, want %d: %q", got, speakers, story.String())
	}
}
