package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// printTable prints what was measured, one row a figure.
func printTable(w io.Writer, c config, results []result) {
	if c.Short {
		fmt.Fprintln(w, "SCALED: small inputs; the targets are for the full sizes")
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "FIGURE\tOURS\tANCHOR\t\tRATIO\tTARGET\t\tCPU\tPEAK\tLOAD")
	for _, r := range results {
		if r.Skipped != "" {
			fmt.Fprintf(t, "%s\t-\t%s\t-\t-\t%s\tskipped: %s\n", r.Name, r.AnchorWhat, r.Target, r.Skipped)
			continue
		}
		verdict := "MISSED"
		if r.Met {
			verdict = "met"
		}
		anchor, cpu := "-", fmt.Sprintf("%.2fs", r.Ours.CPU)
		if len(r.RawAnchor) > 0 {
			anchor = seconds(r.Anchor.Seconds)
			cpu += fmt.Sprintf("/%.2fs", r.Anchor.CPU)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d MB\t%.1f\n", r.Name, seconds(r.Ours.Seconds), anchor, r.AnchorWhat, r.Ratio,
			r.Target, verdict, cpu, r.Ours.Peak>>20, r.Ours.Load)
	}
	t.Flush()
}

func seconds(s float64) string {
	if s < 1 {
		return fmt.Sprintf("%.0f ms", s*1000)
	}
	return fmt.Sprintf("%.2f s", s)
}
