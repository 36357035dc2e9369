package process

import (
	"bytes"
	"os"
	"strconv"
)

// onlyDead tells whether those of a group that are left have all ended, and only
// wait for an init that is slow to take note, or never does.
func onlyDead(group int) bool {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false
	}
	dead := 0
	for _, e := range entries {
		if c := e.Name()[0]; c < '0' || c > '9' {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat") // PID (NAME) STATE PARENT GROUP ...
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if err != nil || len(fields) < 3 || string(fields[2]) != strconv.Itoa(group) {
			continue
		}
		if fields[0][0] != 'Z' && fields[0][0] != 'X' {
			return false
		}
		dead++
	}
	return dead > 0 // none: this /proc does not show them
}
