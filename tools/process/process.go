// Package process starts programs that can be stopped with all they have started,
// and tells which signals a program of ours is to hear.
package process

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

const (
	look     = 10 * time.Millisecond // between two looks at who is left
	lastWait = 2 * time.Second       // for those that were killed; some systems never forget them
)

// Run runs cmd, made by exec.Command, in a process group of its own; with
// SysProcAttr.Setsid it has a session of its own, too, and so no terminal it could
// ask at. When ctx ends, the whole group is told to end (SIGTERM), and is made to
// after grace; Run returns when nobody of it is left, with the context's cause
// unless the program ended well all the same. Output by pipes ends at most grace
// after the program.
func Run(ctx context.Context, cmd *exec.Cmd, grace time.Duration) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = !cmd.SysProcAttr.Setsid
	cmd.WaitDelay = grace
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	if err := stop(cmd.Process.Pid, grace, ended); err != nil {
		return context.Cause(ctx)
	}
	return nil
}

// stop ends the group and returns what came of its leader.
func stop(group int, grace time.Duration, ended <-chan error) (err error) {
	signalGroup := func(s syscall.Signal) bool { return syscall.Kill(-group, s) == nil }
	signalGroup(syscall.SIGTERM)
	enough := time.NewTimer(grace)
	defer enough.Stop()
	tick := time.NewTicker(look)
	defer tick.Stop()
	killed := false
	for leader := true; leader || signalGroup(0) && !onlyDead(group); {
		select {
		case err = <-ended:
			leader, ended = false, nil
		case <-enough.C:
			if killed && !leader {
				return err
			}
			killed = true
			signalGroup(syscall.SIGKILL)
			enough.Reset(lastWait)
		case <-tick.C:
		}
	}
	return err
}

// Heard returns those of sigs that were not ignored when this process began, as
// far as that can be told (SIGHUP and SIGINT): who started it, by nohup or in the
// background, wants it to go on then, and signal.Notify would make it listen.
func Heard(sigs ...os.Signal) []os.Signal {
	var heard []os.Signal
	for _, s := range sigs {
		if !signal.Ignored(s) {
			heard = append(heard, s)
		}
	}
	return heard
}
