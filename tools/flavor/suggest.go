package flavor

// nearest returns the entry of list that s was most likely meant to be, "" if none
// is near.
func nearest(s string, list []string) string {
	best, at := "", max(2, len(s)/6)+1
	for _, x := range list {
		if d := distance(s, x); d < at && d < max(len(s), len(x)) {
			best, at = x, d
		}
	}
	return best
}

// distance is the number of single-byte changes that turn a into b.
func distance(a, b string) int {
	if len(a) > 256 {
		a = a[:256]
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diag := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diag
			if a[i-1] != b[j-1] {
				cost++
			}
			diag = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
