package cli

import (
	"context"
	"errors"
	"flag"
	"io"
	"net/netip"
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
from all that they do not need: of directories in /home, they see no others. When paths, or
addresses of listeners, in the configuration change, print it again.

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
	if slices.ContainsFunc(append([]string{program, s.Path}, write...), func(path string) bool {
		return strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f })
	}) {
		return "", errors.New("a path with control characters cannot be in a unit")
	}
	unit := packaging.Service
	if len(below(append(write, program), "/tmp", "/var/tmp")) > 0 {
		unit = strings.Replace(unit, "\nPrivateTmp=yes\n", "\nPrivateTmp=no\n", 1)
	}
	// In a command, $ begins a variable.
	unit = strings.Replace(unit, packaging.ServiceProgram+" -config "+packaging.ServiceConfig,
		unitWord(program)+" -config "+strings.ReplaceAll(unitWord(s.Path), "$", "$$"), 1)
	homeRead, homeWrite := below(append(read, program), homes...), below(write, homes...)
	binds := append(slices.Clone(homeRead), homeWrite...)
	if slices.ContainsFunc(binds, func(path string) bool { return strings.Contains(path, ":") || slices.Contains(homes, path) }) {
		// These cannot be shown alone. They cannot be written, but for what follows in ReadWritePaths.
		unit = strings.Replace(unit, "\nProtectHome=yes\n", "\nProtectHome=read-only\n", 1)
	} else if len(binds) > 0 {
		homeRead = slices.DeleteFunc(homeRead, func(path string) bool { return len(below([]string{path}, write...)) > 0 })
		write = slices.DeleteFunc(write, func(path string) bool { return slices.Contains(homeWrite, path) })
		unit = strings.Replace(unit, "\nProtectHome=yes\n", "\n# Of home directories it sees what it needs.\nProtectHome=tmpfs\n"+
			unitPaths("BindPaths=", "", homeWrite)+unitPaths("BindReadOnlyPaths=", "-", homeRead), 1)
	}
	if !slices.ContainsFunc(s.Listeners, func(l config.Listener) bool { return slices.ContainsFunc(l.IPs, netip.Addr.IsUnspecified) }) {
		unit = strings.Replace(unit, packaging.ServiceNetlink, "", 1)
	}
	return strings.Replace(unit, "ReadWritePaths="+packaging.ServiceWritePath+"\n", unitPaths("ReadWritePaths=", "", write), 1), nil
}

// homes are what ProtectHome is about.
var homes = []string{"/home", "/root", "/run/user"}

// below returns those of paths that are in one of dirs.
func below(paths []string, dirs ...string) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool {
		return !slices.ContainsFunc(dirs, func(dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") })
	})
}

// unitPaths returns a line of a unit with paths, each with a prefix. It is empty if there
// are none.
func unitPaths(name, prefix string, paths []string) string {
	if len(paths) == 0 {
		return ""
	}
	var words []string
	for _, path := range paths {
		words = append(words, unitWord(prefix+path))
	}
	return name + strings.Join(words, " ") + "\n"
}

// unitWord returns a path as a word of a unit.
func unitWord(path string) string {
	path = strings.ReplaceAll(path, "%", "%%")
	if !strings.ContainsAny(path, " '\"\\;") {
		return path
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(path) + `"`
}
