package sandbox

import "net/http"

// Changing requests are not offered yet.

func (c *call) authenticate() error {
	if c.r.Header.Get("Authorization") != "" {
		return unauthorized()
	}
	return nil
}

func unauthorized() error {
	return problem(http.StatusUnauthorized, "UnauthorizedError", "Unauthorized")
}

func (c *call) signed(func() error) error        { return unauthorized() }
func (c *call) dumpState() error                 { return unauthorized() }
func (c *call) reloadKeys() error                { return unauthorized() }
func (c *call) create() error                    { return unauthorized() }
func (c *call) action(uuid string) error         { return unauthorized() }
func (c *call) delete(uuid string) error         { return unauthorized() }
func (c *call) addFile(uuid string) error        { return unauthorized() }
func (c *call) addFileFromURL(uuid string) error { return unauthorized() }
func (c *call) acl(uuid string) error            { return unauthorized() }
