// Package fault gives errors a kind, which decides the exit code, and a hint,
// which is a command or a setting for the user to type.
//
// Packages return ordinary errors; where a failure has one of the kinds below
// they make it with Kind.Errorf and may add a hint with WithHint. Wrapping with
// %w keeps both. The main programs alone turn a kind into an exit code, and
// print an error once.
package fault

import (
	"errors"
	"fmt"
	"syscall"
)

// Kind says what sort of thing went wrong. Its number is the exit code.
type Kind int

const (
	Defect  Kind = 1 // a defect of ours; also an error without a kind, see KindOf
	Usage   Kind = 2 // unknown flavor, bad flag, bad flavor file
	Drift   Kind = 3 // generated files, a lock or an image are not what they should be
	Step    Kind = 4 // a build step failed: full disk, a file that cannot be read, bad archive, tree conflict
	Network Kind = 5 // server unreachable, thing missing there, wrong digest or size of what came
	Unfit   Kind = 6 // this machine lacks something
	Policy  Kind = 7 // signature, unfaithful package, foreign binary, sandbox image to a real server
)

type kindError struct {
	kind Kind
	err  error
}

func (e *kindError) Error() string { return e.err.Error() }
func (e *kindError) Unwrap() error { return e.err }

type hintError struct {
	hint string
	err  error
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }

// Errorf formats an error of kind k; %w wraps as in fmt.Errorf.
func (k Kind) Errorf(format string, args ...any) error {
	return &kindError{k, fmt.Errorf(format, args...)}
}

// Wrap gives err the kind k, unless err is nil or has a kind already.
func (k Kind) Wrap(err error) error {
	var e *kindError
	if err == nil || errors.As(err, &e) {
		return err
	}
	return &kindError{k, err}
}

// WithHint adds what the user can do about err. The hint nearest to the cause
// wins, so a later, more general one does not replace it. A nil err stays nil.
func WithHint(err error, format string, args ...any) error {
	if err == nil || Hint(err) != "" {
		return err
	}
	return &hintError{fmt.Sprintf(format, args...), err}
}

// KindOf returns the kind nearest to the surface. Without one, what the system did
// not do (a syscall.Errno) is Step, all else Defect.
func KindOf(err error) Kind {
	var e *kindError
	if errors.As(err, &e) {
		return e.kind
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return Step
	}
	return Defect
}

// Hint returns the hint in err's chain, "" where there is none.
func Hint(err error) string {
	var e *hintError
	if errors.As(err, &e) {
		return e.hint
	}
	return ""
}
