package native

import (
	"strings"
	"testing"
)

// Package tools repeat the addresses they are given.
func TestSecretsOfAddresses(t *testing.T) {
	t.Parallel()
	err := (&Programs{}).Run(t.Context(), Command{Path: "sh", Args: []string{"-c", `echo "no https://$U@h.invalid/x?$U" >&2; exit 3`}, Env: []string{"U=s3cret"}})
	if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "no https://h.invalid/x") {
		t.Error(err)
	}
}
