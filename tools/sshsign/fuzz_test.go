package sshsign_test

import (
	"testing"

	"github.com/TritonDataCenter/engbld/tools/sshsign"
)

func FuzzParseFingerprint(f *testing.F) {
	f.Add("MD5:38:3b:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:47")
	f.Add("SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := sshsign.ParseFingerprint(s)
		if err != nil {
			return
		}
		again, err := sshsign.ParseFingerprint(p.String())
		if err != nil || again.String() != p.String() {
			t.Errorf("%q became %q, then %v", s, p, err)
		}
	})
}
