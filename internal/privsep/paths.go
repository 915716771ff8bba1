package privsep

import (
	"maps"
	"os"
	"path/filepath"
	"slices"

	"mox/config"
)

// KeyFiles returns the files with keys and certificates that mox.conf names. Those in a
// group are used together.
func KeyFiles(s *config.Snapshot) [][]string {
	var groups [][]string
	for _, l := range s.Listeners {
		if l.TLS == nil {
			continue
		}
		for _, kc := range l.TLS.KeyCerts {
			groups = append(groups, []string{kc.CertFile, kc.KeyFile})
		}
		for _, path := range l.TLS.HostKeyFiles {
			groups = append(groups, []string{path})
		}
	}
	var secrets []string
	for _, name := range slices.Sorted(maps.Keys(s.ACME)) {
		a := s.ACME[name]
		secrets = append(secrets, a.EABKeyFile)
		if a.DNS01 != nil {
			secrets = append(secrets, a.DNS01.TokenFile, a.DNS01.KeyFile)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.DNSProviders)) {
		p := s.DNSProviders[name]
		secrets = append(secrets, p.TokenFile, p.KeyFile)
	}
	for _, path := range secrets {
		if path != "" {
			groups = append(groups, []string{path})
		}
	}
	return groups
}

// hostKeyFiles returns the keys of hostnames, which the server replaces when they are
// rolled over.
func hostKeyFiles(s *config.Snapshot) []string {
	var paths []string
	for _, l := range s.Listeners {
		if l.TLS != nil {
			paths = append(paths, l.TLS.HostKeyFiles...)
		}
	}
	return paths
}

func configDir(s *config.Snapshot) string { return filepath.Dir(s.Path) }

// dkimFiles returns the files with keys that domains.conf names.
func dkimFiles(s *config.Snapshot) []string {
	var paths []string
	for _, name := range slices.Sorted(maps.Keys(s.Dynamic.Domains)) {
		conf := s.Dynamic.Domains[name].DKIM
		if conf == nil {
			continue
		}
		for _, sel := range slices.Sorted(maps.Keys(conf.Selectors)) {
			path := conf.Selectors[sel].PrivateKeyFile
			if !filepath.IsAbs(path) {
				path = filepath.Join(configDir(s), path)
			}
			paths = append(paths, path)
		}
	}
	return paths
}

// systemPaths are what any program reads: names and resolvers, certificates of
// authorities, time zones, and what is known of itself and its limits. Files in /etc are
// replaced while the server runs, which is why it is all of it.
var systemPaths = []string{
	"/etc", "/usr/share/zoneinfo", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/usr/share/pki", "/usr/lib/ssl", "/var/lib/ca-certificates",
	"/proc/self", "/proc/stat", "/proc/meminfo", "/proc/sys/net", "/proc/sys/kernel", "/sys/fs/cgroup", "/sys/devices/system/cpu", "/dev/urandom",
}

// Paths returns the files and directories that a server needs with a configuration, to
// read, and to read and write. Links in them are followed.
func Paths(s *config.Snapshot) (read, write []string) {
	read = slices.Clone(systemPaths)
	// A link, to where a resolver of the system, or a network manager, replaces the file.
	read = append(read, linkDir("/etc/resolv.conf")...)
	for _, name := range []string{"SSL_CERT_FILE", "SSL_CERT_DIR", "ZONEINFO"} {
		if path := os.Getenv(name); path != "" {
			read = append(read, filepath.SplitList(path)...)
		}
	}
	for _, group := range KeyFiles(s) {
		for _, path := range group {
			read = append(read, filepath.Dir(path))
			read = append(read, linkDir(path)...)
		}
	}
	for _, path := range dkimFiles(s) {
		read = append(read, filepath.Dir(path))
		read = append(read, linkDir(path)...)
	}
	if s.Authorities != nil {
		read = append(read, s.Authorities.CertFiles...)
	}
	for _, h := range s.WebHandlers {
		if h.Static != nil {
			if dir, err := filepath.Abs(h.Static.Root); err == nil {
				read = append(read, dir)
			}
		}
	}
	write = []string{s.DataDir, configDir(s)}
	for _, path := range hostKeyFiles(s) {
		write = append(write, filepath.Dir(path)) // For rollovers.
	}
	for _, l := range s.Listeners {
		if l.LMTP != "" {
			write = append(write, filepath.Dir(l.LMTP))
		}
	}
	return unique(read), unique(write)
}

// linkDir returns the directory that a link leads into.
func linkDir(path string) []string {
	real, err := filepath.EvalSymlinks(path)
	if err != nil || real == path {
		return nil
	}
	return []string{filepath.Dir(real)}
}

func unique(paths []string) []string {
	set := map[string]bool{}
	for _, p := range paths {
		set[p] = true
	}
	return slices.Sorted(maps.Keys(set))
}
