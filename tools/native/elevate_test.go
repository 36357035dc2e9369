package native

import (
	"slices"
	"testing"
)

// Who became this user with sudo before is not the one whose files they are.
func TestElevatedEnviron(t *testing.T) {
	t.Parallel()
	given := []string{"SUDO_UID=7", "A=b"}
	if got := elevatedEnviron(given, 54321); !slices.Equal(got, []string{"A=b", "SUDO_UID=54321", "ENGBLD_ELEVATED=1"}) || given[0] != "SUDO_UID=7" {
		t.Errorf("%q of %q", got, given)
	}
}
