package cli

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
)

// configExamples are parts of configuration files, by name.
var configExamples = map[string]string{
	"transport": `# Part of mox.conf: mail can leave through another server.
Transports:
	relay:
		Submissions:
			Host: smtp.relay.example
			Auth:
				Username: user@relay.example
				Password: secret
				Mechanisms:
					- SCRAM-SHA-256-PLUS
					- SCRAM-SHA-256
					- PLAIN

# Part of domains.conf: mail for these domains does, and all other mail after 3 attempts
# have failed.
Routes:
	-
		ToDomain:
			- example.com
			- .example.net
		Transport: relay
	-
		MinimumAttempts: 3
		Transport: relay
`,
	"webhandlers": `# Part of mox.conf: a listener with a web server.
Listeners:
	public:
		WebserverHTTP:
			Enabled: true
		WebserverHTTPS:
			Enabled: true

# Part of domains.conf: what it serves. The first that matches is used.
WebDomainRedirects:
	www.example.org: example.org
WebHandlers:
	-
		LogName: files
		Domain: example.org
		PathRegexp: ^/files/
		Compress: true
		WebStatic:
			StripPrefix: /files/
			Root: web/files
			ListFiles: true
			ResponseHeaders:
				X-Content-Type-Options: nosniff
	-
		LogName: moved
		Domain: example.org
		PathRegexp: ^/old/
		WebRedirect:
			BaseURL: https://other.example
			OrigPathRegexp: ^/old/(.*)
			ReplacePath: /new/$1
			StatusCode: 307
	-
		LogName: application
		Domain: app.example.org
		PathRegexp: ^/
		WebForward:
			URL: http://127.0.0.1:8888
`,
}

var cmdConfigExample = command{
	words: "config example",
	args:  "[name]",
	help: `Print an example of a part of the configuration, or the names of examples.
`,
	setup: func(*flag.FlagSet) runFunc { return runConfigExample },
}

func runConfigExample(_ context.Context, e *env, args []string) error {
	switch len(args) {
	case 0:
		for _, name := range slices.Sorted(maps.Keys(configExamples)) {
			if _, err := fmt.Fprintln(e.out, name); err != nil {
				return err
			}
		}
		return nil
	case 1:
		text, ok := configExamples[args[0]]
		if !ok {
			return fmt.Errorf("there is no example %q, see mox config example", args[0])
		}
		_, err := fmt.Fprint(e.out, text)
		return err
	}
	return usageError("")
}
