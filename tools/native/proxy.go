package native

import (
	"context"
	"net"
	"net/url"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// proxyVariables name proxies for the programs that fetch packages.
var proxyVariables = [...]string{"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"}

// resolveProxies returns the variables that name a proxy, its host replaced by an
// address: in the clone nothing may resolve names (spec engbld-interface.md
// section 4.10, step 3). It is done before anything is made.
func (s *Session) resolveProxies(ctx context.Context) (env []string, err error) {
	for _, name := range proxyVariables {
		value := s.o.Getenv(name)
		if value == "" {
			continue
		}
		if !strings.Contains(value, "://") {
			value = "http://" + value
		}
		u, err := url.Parse(value)
		if err != nil || u.Hostname() == "" {
			return nil, fault.Usage.Errorf("%s is no address of a proxy", name)
		}
		if net.ParseIP(u.Hostname()) == nil {
			list, err := s.o.Lookup(ctx, u.Hostname())
			if err != nil {
				return nil, fault.WithHint(fault.Network.Errorf("%s: resolving %s: %w", name, u.Hostname(), err), "name the proxy by its address, or unset %s", name)
			}
			if len(list) == 0 {
				return nil, fault.Network.Errorf("%s: %s has no address", name, u.Hostname())
			}
			host := list[0]
			if strings.Contains(host, ":") {
				host = "[" + host + "]"
			}
			if u.Port() != "" {
				host += ":" + u.Port()
			}
			u.Host = host
		}
		env = append(env, name+"="+u.String())
	}
	return env, nil
}
