package stylecheck

import (
	"bytes"
	"testing"
)

// A file that ends as it should has no remark on its end, and remarks name
// lines that are there.
func FuzzBash(f *testing.F) {
	f.Add([]byte("#!/bin/bash\n# BEGIN BASHSTYLED\n[ x ]\n# END BASHSTYLED\n\tlocal x=$(ls) \n"))
	f.Add([]byte("\t\t\xff\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		first := Bash("f", text)
		if len(first) > 5*(bytes.Count(text, []byte("\n"))+2) {
			t.Errorf("%d remarks", len(first))
		}
		exempt := Bash("f", append(append([]byte("# BEGIN BASHSTYLED\n"), bytes.ReplaceAll(text, []byte("BASHSTYLED"), nil)...), "\n# END BASHSTYLED\n"...))
		if len(exempt) > 0 {
			t.Errorf("an exempt text has remarks: %q", exempt)
		}
	})
}
