package cli

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mox/config"
	"mox/internal/privsep"
	"mox/packaging"
)

var cmdConfigPrintService = command{
	words: "config printservice",
	help: `Print a unit for systemd, with the paths of this program and configuration.

It starts mox as root, which then serves as the user that mox.conf names, and keeps both
from all that they do not need. When paths in the configuration change, print it again.

  mox config printservice >/etc/systemd/system/mox.service
  systemctl daemon-reload
  systemctl enable --now mox
`,
	setup: func(*flag.FlagSet) runFunc {
		return func(_ context.Context, e *env, args []string) error {
			if err := noArgs(args); err != nil {
				return err
			}
			path, err := filepath.Abs(e.configPath)
			if err != nil {
				return err
			}
			s, err := config.Load(path, e.overrides...)
			if err != nil {
				return err
			}
			program, err := os.Executable()
			if err != nil {
				return err
			}
			unit, err := serviceUnit(program, s)
			if err != nil {
				return err
			}
			_, err = io.WriteString(e.out, unit)
			return err
		}
	},
}

// serviceUnit returns the unit for a program and a configuration with an absolute path.
func serviceUnit(program string, s *config.Snapshot) (string, error) {
	read, write := privsep.Paths(s)
	var words []string
	for _, path := range append([]string{program, s.Path}, write...) {
		if strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return "", errors.New("a path with control characters cannot be in a unit")
		}
		words = append(words, unitWord(path))
	}
	unit := packaging.Service
	if in(append(read, append(write, program)...), "/home", "/root", "/run/user") {
		// It still cannot be written, but for what follows in ReadWritePaths.
		unit = strings.Replace(unit, "\nProtectHome=yes\n", "\nProtectHome=read-only\n", 1)
	}
	if in(append(write, program), "/tmp", "/var/tmp") {
		unit = strings.Replace(unit, "\nPrivateTmp=yes\n", "\nPrivateTmp=no\n", 1)
	}
	// In a command, $ begins a variable.
	unit = strings.Replace(unit, packaging.ServiceProgram+" -config "+packaging.ServiceConfig,
		words[0]+" -config "+strings.ReplaceAll(words[1], "$", "$$"), 1)
	return strings.Replace(unit, packaging.ServiceWritePath, strings.Join(words[2:], " "), 1), nil
}

// in reports whether one of paths is in one of dirs.
func in(paths []string, dirs ...string) bool {
	return slices.ContainsFunc(paths, func(p string) bool {
		return slices.ContainsFunc(dirs, func(dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") })
	})
}

// unitWord returns a path as a word of a unit.
func unitWord(path string) string {
	path = strings.ReplaceAll(path, "%", "%%")
	if !strings.ContainsAny(path, " '\"\\;") {
		return path
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(path) + `"`
}
