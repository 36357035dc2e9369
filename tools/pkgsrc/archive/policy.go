package archive

import (
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// Policy is VERIFIED_INSTALLATION: what is done with packages that have no
// signature (spec pkgsrc.md section 3.2). A signature that does not verify is
// refused under every policy.
//
//	policy       unsigned   signed and verified
//	Never        taken      taken
//	Always       refused    taken
//	Trusted      asked for  taken
//	Interactive  asked for  asked for
type Policy uint8

// The policies; Never is the built-in default of the genuine tools.
const (
	Never Policy = iota
	Always
	Trusted
	Interactive
)

var policies = [...]string{"never", "always", "trusted", "interactive"}

// ParsePolicy reads a value of VERIFIED_INSTALLATION, upper or lower case; "" is Never.
func ParsePolicy(s string) (Policy, error) {
	if s == "" {
		return Never, nil
	}
	for i, name := range policies {
		if strings.EqualFold(s, name) {
			return Policy(i), nil
		}
	}
	return Always, fault.Usage.Errorf("VERIFIED_INSTALLATION is %.80q, not one of %s", s, strings.Join(policies[:], ", "))
}

// String returns the value as it stands in pkg_install.conf.
func (p Policy) String() string { return policies[p] }

// admit applies the policy to a package whose name is known and whose signature,
// where it has one, is good.
func (o *Options) admit(pkg string, signed bool) error {
	var asks bool
	switch o.Policy {
	case Always:
		if !signed {
			return o.unsigned("no valid signature found, rejected")
		}
	case Trusted:
		asks = !signed
	case Interactive:
		asks = true
	}
	switch {
	case !asks:
		return nil
	case o.Confirm != nil && o.Confirm(pkg, signed):
		return nil
	case signed:
		return fault.WithHint(fault.Policy.Errorf("not confirmed, and VERIFIED_INSTALLATION is %s", o.Policy),
			"use VERIFIED_INSTALLATION=always where nobody answers")
	}
	return o.unsigned("no signature found and not confirmed, rejected")
}

func (o *Options) unsigned(why string) error {
	return fault.WithHint(fault.Policy.Errorf("%s (VERIFIED_INSTALLATION is %s)", why, o.Policy),
		"take the package from a repository that signs, or set VERIFIED_INSTALLATION=never in pkg_install.conf")
}
