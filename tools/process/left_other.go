//go:build !linux

package process

func onlyDead(int) bool { return false }
