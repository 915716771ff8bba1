package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"mox/config"
	"mox/internal/daemon"
	"mox/internal/updates"
)

var cmdCheckUpdate = command{
	words: "checkupdate",
	help: `Look whether there is a newer version, and print what has changed.

Where to look is in mox.conf, in UpdateSource. The latest version comes from DNS. What
has changed since the version of this program is printed if all of it is signed with
the key in UpdateSource and nothing is missing. With CheckUpdates in mox.conf, the server
looks once a day by itself. Nothing is installed.
`,
	setup: func(*flag.FlagSet) runFunc { return runCheckUpdate },
}

func runCheckUpdate(ctx context.Context, e *env, args []string) error {
	if err := noArgs(args); err != nil {
		return err
	}
	s, err := config.Load(e.configPath, e.overrides...)
	if err != nil {
		return err
	}
	if s.UpdateSource == nil {
		return errors.New("UpdateSource in mox.conf must say where new versions are announced")
	}
	return checkUpdate(ctx, e, s, version())
}

// checkUpdate looks for a version that is newer than the current one.
func checkUpdate(ctx context.Context, e *env, s *config.Snapshot, currentText string) error {
	r, err := e.resolver()
	if err != nil {
		return err
	}
	latest, err := updates.Lookup(ctx, r, s.UpdateSource.Domain)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(e.out, "current: %s\nlatest: %s\n", currentText, latest); err != nil {
		return err
	}
	current, err := updates.ParseVersion(currentText)
	if err != nil {
		_, err := fmt.Fprintln(e.out, "this program is not a release, so it is not known what is new for it")
		return err
	}
	if latest.Compare(current) <= 0 {
		_, err := fmt.Fprintln(e.out, "no newer version")
		return err
	}
	client, err := daemon.UpdateClient(s)
	if err != nil {
		return err
	}
	log, err := updates.Fetch(ctx, client, s.UpdateSource.ChangelogURL, s.UpdateSource.Key, current, latest)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "\n%s", log.Text(current))
	return err
}
