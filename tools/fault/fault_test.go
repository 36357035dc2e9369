package fault

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"
)

func TestKindAndHintSurviveWrapping(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	err := WithHint(Network.Errorf("fetching x: %w", cause), "try %s", "y")
	err = fmt.Errorf("base: %w", err)
	err = WithHint(Step.Wrap(err), "a general hint")
	if got := KindOf(err); got != Network {
		t.Errorf("KindOf = %d, want Network", got)
	}
	if got := Hint(err); got != "try y" {
		t.Errorf("Hint = %q, want the one nearest to the cause", got)
	}
	if !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
	if got, want := err.Error(), "base: fetching x: cause"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}

func TestPlainErrorsAreDefects(t *testing.T) {
	t.Parallel()
	if got := KindOf(errors.New("x")); got != Defect {
		t.Errorf("KindOf = %d, want Defect", got)
	}
	if got := KindOf(fmt.Errorf("x: %w", &fs.PathError{Op: "stat", Path: "f", Err: syscall.EIO})); got != Step {
		t.Errorf("KindOf what the system did not do = %d, want Step", got)
	}
	if Step.Wrap(nil) != nil || WithHint(nil, "x") != nil {
		t.Error("nil did not stay nil")
	}
}
