package manta

import (
	"fmt"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/sshsign"
)

// FromEnv fills options as the genuine tools do from MANTA_URL, MANTA_USER,
// MANTA_SUBUSER, MANTA_KEY_ID, MANTA_ROLE, MANTA_TLS_INSECURE, MANTA_NO_AUTH,
// MANTA_DEFAULT_CONTENT_TYPE, HOME and SSH_AUTH_SOCK (spec manta.md section 1).
// URL and user have no defaults; the key's is that of ~/.ssh/id_rsa.pub. Beyond
// the genuine tools, MANTA_KEY_ID may name the file of a private key.
func FromEnv(getenv func(string) string) (Options, error) {
	o := Options{
		URL: getenv("MANTA_URL"), Account: getenv("MANTA_USER"), SubUser: getenv("MANTA_SUBUSER"), Role: getenv("MANTA_ROLE"),
		Type:     getenv("MANTA_DEFAULT_CONTENT_TYPE"),
		Insecure: getenv("MANTA_TLS_INSECURE") != "" && getenv("MANTA_TLS_INSECURE") != "0",
	}
	if o.URL == "" || o.Account == "" {
		return o, missing(getenv)
	}
	if getenv("MANTA_NO_AUTH") == "true" {
		return o, nil
	}
	places := sshsign.Places{Home: getenv("HOME"), Agent: getenv("SSH_AUTH_SOCK")}
	id := getenv("MANTA_KEY_ID")
	if id == "" {
		if id = places.DefaultFingerprint(); id == "" {
			return o, fault.WithHint(fault.Usage.Errorf("object store: MANTA_KEY_ID is not set, and there is no ~/.ssh/id_rsa.pub"),
				"MANTA_KEY_ID=MD5:aa:bb:… or SHA256:… (ssh-add -l -E md5)")
		}
	}
	var err error
	if o.Key, err = places.Identity(id); err != nil {
		err = fmt.Errorf("object store: MANTA_KEY_ID: %w", err)
	}
	return o, err
}

// missing names all that is missing.
func missing(getenv func(string) string) error {
	var names []string
	for _, n := range []string{"MANTA_URL", "MANTA_USER"} {
		if getenv(n) == "" {
			names = append(names, n)
		}
	}
	return fault.WithHint(fault.Usage.Errorf("object store: not set: %s", strings.Join(names, ", ")),
		"set them, or ENGBLD_BITS_UPLOAD_LOCAL=true to upload to a directory")
}

// OpenStore returns the store at dest (bits-upload's -d) that the environment
// says, for bits.Deps.Open. more may set what the environment does not say:
// Transport, Progress, Now; it may be nil. warnf is told if the server's
// certificate is not verified.
func OpenStore(getenv func(string) string, dest string, more func(*Options), warnf func(format string, args ...any)) (*Store, error) {
	o, err := FromEnv(getenv)
	if err != nil {
		return nil, err
	}
	if more != nil {
		more(&o)
	}
	if o.Insecure && warnf != nil {
		warnf("MANTA_TLS_INSECURE is set: the object store's certificate is not verified")
	}
	c, err := New(o)
	if err != nil {
		return nil, err
	}
	return NewStore(c, dest)
}
