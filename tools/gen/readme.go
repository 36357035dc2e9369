package gen

import (
	"fmt"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/flavor"
)

// readme fills the tables of README.md, those that it has markers for.
func readme(set *flavor.Set, now []byte) ([]byte, error) {
	out := now
	for _, t := range []struct {
		name string
		text string
	}{
		{"flavors", flavorTable(set)},
		{"sdcnode", sdcnodeTable(set)},
		{"agents", agentTable(set)},
	} {
		next, err := replaceBlock(out, "<!-- generated:"+t.name+" -->", "<!-- end -->", t.text)
		if err != nil {
			return nil, err
		}
		if next != nil {
			out = next
		}
	}
	return out, nil
}

func flavorTable(set *flavor.Set) string {
	rows := [][]string{{"flavor", "base image", "uuid of the base", "pkgsrc", "packages", "released images"}}
	for _, f := range newestFirst(set) {
		pkgs := strings.Join(f.Pkgsrc.Packages, " ")
		if f.Pkgsrc.Upgrade {
			pkgs += "; all others upgraded"
		}
		var rel []string
		for _, r := range f.Released {
			rel = append(rel, fmt.Sprintf("`%s` (%s)", r.UUID, r.Version))
		}
		if rel == nil {
			rel = []string{"none is known"}
		}
		rows = append(rows, []string{"`" + f.Name + "`", f.Base.String(), "`" + f.Base.UUID + "`",
			f.Pkgsrc.Release + " " + f.Pkgsrc.Arch, pkgs, strings.Join(rel, ", ")})
	}
	return table(rows)
}

func sdcnodeTable(set *flavor.Set) string {
	rows := [][]string{{"flavor", "compatible sdcnode build", "`NODE_PREBUILT_IMAGE`"}}
	for _, f := range newestFirst(set) {
		if f.Sdcnode == nil {
			rows = append(rows, []string{"`" + f.Name + "`", "none is known", ""})
			continue
		}
		rows = append(rows, []string{"`" + f.Name + "`", f.Sdcnode.Build, "`" + f.Sdcnode.Image + "`"})
	}
	for _, n := range set.BuildEnv.OldSdcnode {
		rows = append(rows, []string{"(no flavor)", n.Build, "`" + n.Image + "`"})
	}
	return table(rows)
}

func agentTable(set *flavor.Set) string {
	rows := [][]string{{"flavor", "Jenkins agent labels"}}
	for _, f := range newestFirst(set) {
		rows = append(rows, []string{"`" + f.Name + "`", "`" + f.AgentLabels() + "`"})
	}
	return table(rows)
}

func newestFirst(set *flavor.Set) []*flavor.Flavor {
	list := make([]*flavor.Flavor, 0, len(set.Flavors))
	for i := len(set.Flavors) - 1; i >= 0; i-- {
		list = append(list, set.Flavors[i])
	}
	return list
}

// table writes rows as a Markdown table, the first being its head.
func table(rows [][]string) string {
	var b strings.Builder
	for i, r := range rows {
		b.WriteString("| " + strings.Join(r, " | ") + " |\n")
		if i == 0 {
			b.WriteString("|" + strings.Repeat(" --- |", len(r)) + "\n")
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}
