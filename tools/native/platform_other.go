//go:build !illumos && !linux

package native

// hostPlatform: nothing is known of mounting here.
func hostPlatform() *Platform { return nil }
