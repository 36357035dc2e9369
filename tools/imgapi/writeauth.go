package imgapi

import (
	"net/http"
	"time"

	"github.com/TritonDataCenter/engbld/tools/rest"
	"github.com/TritonDataCenter/engbld/tools/sshsign"
)

// SignAs returns what Options.Sign takes, for a user and an identity (a
// fingerprint, or the file of a private key; "" is ~/.ssh/id_rsa). It is nil
// where there is no user, or no identity and no such file: requests then go
// out unsigned (spec imgapi.md section 3). A key of a kind that image servers
// do not verify is refused.
func SignAs(user, identity string, places sshsign.Places, now func() time.Time) (func(*http.Request) error, error) {
	if user == "" {
		return nil, nil
	}
	key, err := places.Identity(identity)
	if err != nil || key == nil {
		return nil, err
	}
	return sshsign.IMGAPI(user, key, now)
}

// NewTransport returns the transport a Client uses where Options has none, to
// be wrapped.
func NewTransport(insecure bool) *http.Transport { return rest.NewTransport(connectTime, insecure) }
