package native

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// discover finds the delegated dataset: the one that was named; else, in a zone,
// POOL/ZONENAME/data in whatever pool; else the only one that is delegated
// (spec engbld-interface.md section 4.10 and defect B8).
func (s *Session) discover(ctx context.Context) (string, error) {
	columns := "name"
	if s.o.Platform.Zones {
		columns = "name,zoned"
	}
	list, err := s.zfs.lines(ctx, "list", "-H", "-t", "filesystem", "-o", columns)
	if err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return "", fault.WithHint(fault.Unfit.Errorf("the native engine needs ZFS: %w", err), "%s", portableHint)
		}
		return "", fault.WithHint(fault.Unfit.Wrap(err), "%s", portableHint)
	}
	zoned := map[string]bool{}
	for _, l := range list {
		zoned[l[0]] = len(l) > 1 && l[1] == "on"
	}
	if want := s.o.Dataset; want != "" {
		if _, ok := zoned[want]; !ok {
			return "", fault.WithHint(fault.Unfit.Errorf("ENGBLD_NATIVE_DATASET: there is no file system %q", want), "zfs list")
		}
		return want, nil
	}
	if !s.o.Platform.Zones {
		return "", fault.WithHint(fault.Unfit.Errorf("no dataset is named to import images into, and %s delegates none", s.o.Platform.Name),
			"set ENGBLD_NATIVE_DATASET to a dataset that images may be imported into")
	}
	zone, err := s.zonename(ctx)
	if err != nil {
		return "", fault.Unfit.Wrap(err)
	}
	var fits, delegated []string
	for name, on := range zoned {
		if strings.HasSuffix(name, "/"+zone+"/data") {
			fits = append(fits, name)
		}
		if parent, _, ok := cutLast(name); on && ok && !zoned[parent] {
			delegated = append(delegated, name)
		}
	}
	for _, found := range [][]string{fits, delegated} {
		slices.Sort(found)
		if len(found) == 1 {
			return found[0], nil
		}
		if len(found) > 1 {
			return "", fault.WithHint(fault.Unfit.Errorf("several delegated datasets: %s", strings.Join(found, ", ")),
				"set ENGBLD_NATIVE_DATASET to the one that images may be imported into")
		}
	}
	return "", fault.WithHint(fault.Unfit.Errorf("zone %s has no delegated dataset", zone),
		"give the zone one (vmadm: delegate_dataset true), or set ENGBLD_NATIVE_DATASET")
}

func (s *Session) zonename(ctx context.Context) (string, error) {
	out := &Output{}
	err := s.o.Runner.Run(ctx, Command{Path: "zonename", Stdout: out})
	return strings.TrimSpace(out.String()), err
}
