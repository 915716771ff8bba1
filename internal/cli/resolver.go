package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"mox/config"
	"mox/dns"
)

// resolver returns how commands look up in DNS: with the resolvers of flag -dns,
// or else of the configuration if there is one, or else of the system.
func (e *env) resolver() (*dns.StrictResolver, error) {
	servers, err := e.resolvers()
	if err != nil {
		return nil, err
	}
	return e.resolverAt(servers)
}

// resolverAt returns one that asks the given servers, or those of the system if there are
// none.
func (e *env) resolverAt(servers []string) (*dns.StrictResolver, error) {
	return dns.NewStrictResolver(dns.ResolverOptions{
		Servers: servers,
		TrustAD: len(servers) > 0,
		Log:     e.log,
	})
}

func (e *env) resolvers() ([]string, error) {
	if len(e.servers) > 0 {
		return e.servers, nil
	}
	if _, err := os.Stat(e.configPath); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	s, err := config.Load(e.configPath, e.overrides...)
	if err != nil {
		return nil, fmt.Errorf("which resolvers to use: %w (flag -dns names others)", err)
	}
	var l []string
	for _, a := range s.Resolvers {
		l = append(l, a.String())
	}
	return l, nil
}
