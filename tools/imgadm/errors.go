package imgadm

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imgapi"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
)

// codedError is a failure with a code of the genuine tools.
type codedError struct {
	code string
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

func coded(code, format string, args ...any) error {
	return &codedError{code, fmt.Errorf(format, args...)}
}

func usagef(format string, args ...any) error { return coded("Usage", format, args...) }

// printError writes an error as the genuine tools do: code and message, then
// the fields of a failed validation, a line each. The request's id and a hint
// come last.
func (a *app) printError(err error) {
	code, message, items, id := describe(err)
	lines := strings.Split(message, "\n") // of several errors
	for i := range lines {
		lines[i] = plain(lines[i])
	}
	fmt.Fprintf(a.Stderr, "%s: error (%s): %s\n", a.tool.name, code, strings.Join(lines, "\n"))
	for _, i := range items {
		fmt.Fprintf(a.Stderr, "    %s: %s", plain(i.Field), i.Code)
		if i.Message != "" {
			fmt.Fprintf(a.Stderr, ": %s", plain(i.Message))
		}
		fmt.Fprintln(a.Stderr)
	}
	if id != "" {
		fmt.Fprintf(a.Stderr, "request: %s\n", id)
	}
	if hint := fault.Hint(err); hint != "" {
		fmt.Fprintf(a.Stderr, "hint: %s\n", plain(hint))
	}
}

func describe(err error) (code, message string, items []imgmanifest.Item, id string) {
	var own *codedError
	var api *imgapi.Error
	var invalid *imgmanifest.ValidationError
	switch {
	case errors.As(err, &own):
		return own.code, own.Error(), nil, ""
	case errors.Is(err, imgapi.ErrUnknown):
		return "ClientError", err.Error(), nil, ""
	case errors.As(err, &api):
		for _, i := range api.Items {
			items = append(items, imgmanifest.Item(i))
		}
		if api.Code == "" {
			return "InternalError", fmt.Sprintf("HTTP %d: %s", api.Status, api.Message), items, api.RequestID
		}
		return api.Code, api.Message, items, api.RequestID
	case errors.As(err, &invalid):
		return invalid.Code, invalid.Summary(), invalid.Items, ""
	case errors.Is(err, imgapi.ErrNeeded):
		return "ImageHasDependentImages", err.Error(), nil, ""
	case errors.Is(err, imgapi.ErrOther):
		return "ImageUuidAlreadyExists", err.Error(), nil, ""
	case fault.KindOf(err) == fault.Usage:
		return "Usage", err.Error(), nil, ""
	case fault.KindOf(err) == fault.Unfit: // a key that is not there
	case errors.Is(err, fs.ErrNotExist), fault.KindOf(err) == fault.Step:
		return "InternalError", err.Error(), nil, ""
	}
	return "ClientError", err.Error(), nil, ""
}
