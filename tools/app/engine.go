package app

import (
	"os"
	"path/filepath"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/native"
)

// engine is what ENGBLD_ENGINE says: nil for the portable engine.
func (a *app) engine() (*native.Options, error) {
	switch e := a.env.Getenv("ENGBLD_ENGINE"); e {
	case "", "portable":
		return nil, nil
	case "native":
		state := a.env.Getenv("ENGBLD_NATIVE_STATE")
		return &native.Options{
			Runner:  &native.Programs{Path: filepath.SplitList(a.env.Getenv("PATH"))},
			Dataset: a.env.Getenv("ENGBLD_NATIVE_DATASET"), StateDir: a.abs(state), Getenv: a.env.Getenv,
		}, nil
	default:
		return nil, fault.WithHint(fault.Usage.Errorf("ENGBLD_ENGINE=%s: no such engine", e),
			"unset ENGBLD_ENGINE: images are built portably; ENGBLD_ENGINE=native builds with ZFS")
	}
}

// elevate gets the native engine the rights it needs, if it can. The directories
// of the results are made before, so that they belong to the user.
func (a *app) elevate(engine *native.Options, jobs []job) error {
	if engine == nil || os.Geteuid() == 0 || a.env.Elevate == nil {
		return nil
	}
	for _, j := range jobs {
		if err := os.MkdirAll(j.out, 0o777); err != nil {
			return fault.Step.Wrap(err)
		}
	}
	return a.env.Elevate()
}
