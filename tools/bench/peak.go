package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// highWater is the largest resident size that a process has had, as
// /proc/PID/status tells it; 0 where that is not there. What rusage says will
// not do: a child begins with the size of the process that started it.
func highWater(pid string) int64 {
	raw, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0
	}
	_, rest, ok := strings.Cut(string(raw), "VmHWM:")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); !ok || err != nil {
		return 0
	}
	return kib << 10
}

// watch looks at a running command's size until the returned function is
// called, which tells the largest one seen.
func watch(cmd *exec.Cmd) func() int64 {
	stop, largest := make(chan struct{}), make(chan int64)
	go func() {
		most := int64(0)
		for {
			most = max(most, highWater(fmt.Sprint(cmd.Process.Pid)))
			select {
			case <-stop:
				largest <- most
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() int64 {
		close(stop)
		return <-largest
	}
}

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
