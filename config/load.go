package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Names of the files, and where mox.conf is unless told otherwise.
const (
	StaticName  = "mox.conf"
	DynamicName = "domains.conf"
	DefaultPath = "config/" + StaticName
	PathEnv     = "MOXCONF"
)

// Path returns the path of mox.conf: that of a flag, otherwise that of the
// environment variable [PathEnv], otherwise [DefaultPath].
func Path(flag string) string {
	if flag != "" {
		return flag
	}
	if s := os.Getenv(PathEnv); s != "" {
		return s
	}
	return DefaultPath
}

// dynamicPath returns the path of domains.conf, next to a mox.conf.
func dynamicPath(path string) string {
	return filepath.Join(filepath.Dir(path), DynamicName)
}

// Options are for [OpenWith].
type Options struct {
	Log       *slog.Logger
	Overrides []Override

	// ReadKey reads files with private keys that domains.conf names, and those that
	// [Snapshot.ReadFile] is called for. Nil: [os.ReadFile].
	ReadKey func(path string) ([]byte, error)
}

// An Override changes what was read from mox.conf before it is checked, as flags
// of commands do.
type Override func(*Static)

// Load reads and checks mox.conf at path and domains.conf next to it. The error is
// that of reading a file, or [Errors] with all that is wrong with both.
func Load(path string, overrides ...Override) (*Snapshot, error) {
	s, _, err := open(path, Options{Overrides: overrides})
	return s, err
}

// DataDir returns the data directory that the mox.conf at path names, without
// checking the rest of the configuration: what is wrong with that is no reason not
// to reach a server that is running with an older one.
func DataDir(path string) (string, error) {
	f, err := readFile(path)
	if err != nil {
		return "", err
	}
	var st Static
	if _, errs := parse(path, f.data, &st); len(errs) > 0 {
		return "", errs
	}
	if st.DataDir == "" {
		return "", &Error{File: path, Field: "DataDir", Text: "directory is empty"}
	}
	return relative(filepath.Dir(path), st.DataDir), nil
}

// open is Load that also returns domains.conf.
func open(path string, opts Options) (*Snapshot, file, error) {
	st, err := readFile(path)
	if err != nil {
		return nil, file{}, err
	}
	dyn, err := readFile(dynamicPath(path))
	if err != nil {
		return nil, file{}, err
	}
	s, err := opts.load(path, st.data, dyn.data)
	return s, dyn, err
}

// load makes a snapshot of the content of both files.
func load(path string, static, dynamic []byte, overrides ...Override) (*Snapshot, error) {
	return Options{Overrides: overrides}.load(path, static, dynamic)
}

func (opts Options) load(path string, static, dynamic []byte) (*Snapshot, error) {
	s := &Snapshot{Path: path, readKey: opts.ReadKey}
	o, errs := parse(path, static, &s.Static)
	s.static = o
	do, derrs := parse(dynamicPath(path), dynamic, &s.Dynamic)
	if errs = append(errs, derrs...); len(errs) > 0 {
		// What a file means cannot be told from the part of it that can be read.
		return nil, errs
	}
	for _, o := range opts.Overrides {
		o(&s.Static)
	}
	if err := s.check(do); err != nil {
		return nil, err
	}
	return s, nil
}

// New makes a snapshot that is not from files. Relative paths in it are relative
// to the working directory.
func New(static Static, dynamic Dynamic) (*Snapshot, error) {
	s := &Snapshot{Static: static, Dynamic: dynamic}
	if err := s.check(nil); err != nil {
		return nil, err
	}
	return s, nil
}

// check fills in what follows from the files.
func (s *Snapshot) check(dynamic *outline) error {
	var file, dynFile string
	if s.Path != "" {
		file, dynFile = s.Path, dynamicPath(s.Path)
	}
	sc := &checker{file: file, outline: s.static}
	sc.checkStatic(s)
	dc := &checker{file: dynFile, outline: dynamic}
	dc.checkDynamic(s)
	sc.staticAccounts(s)
	return append(sc.errs, dc.errs...).err()
}

// withDynamic returns a snapshot with the same static file and a new dynamic one.
// The static file is checked again: what was right with one domains.conf may not
// be with another.
func (s *Snapshot) withDynamic(data []byte) (*Snapshot, error) {
	n := &Snapshot{Path: s.Path, Static: s.Static, static: s.static, readKey: s.readKey}
	o, errs := parse(dynamicPath(s.Path), data, &n.Dynamic)
	if len(errs) > 0 {
		return nil, errs
	}
	if err := n.check(o); err != nil {
		return nil, err
	}
	return n, nil
}

// CheckFiles opens what a configuration refers to and a server needs at start, the
// keys and certificates, also of authorities, and returns [Errors] for what cannot be used.
func (s *Snapshot) CheckFiles() error {
	c := &checker{file: s.Path, outline: s.static}
	c.checkAuthorities(s.Authorities)
	for _, name := range slices.Sorted(maps.Keys(s.ACME)) {
		c.checkACME(s.ACME[name])
	}
	for _, name := range slices.Sorted(maps.Keys(s.DNSProviders)) {
		c.checkProvider(join("DNSProviders", name), s.DNSProviders[name])
	}
	for _, l := range s.Listeners {
		if l.TLS == nil {
			continue
		}
		c.checkHostKeys(l)
		for i, kc := range l.TLS.KeyCerts {
			if _, err := tls.LoadX509KeyPair(kc.CertFile, kc.KeyFile); err != nil {
				c.addf(fmt.Sprintf("Listeners.%s.TLS.KeyCerts[%d]", l.Name, i), "%s", trimPkg(err))
			}
		}
	}
	return c.errs.err()
}

// file is the content of a configuration file and what tells whether it was
// changed since.
type file struct {
	data []byte
	info fs.FileInfo
}

// readFile reads a configuration file.
func readFile(path string) (file, error) {
	f, err := os.Open(path)
	if err != nil {
		return file{}, missing(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return file{}, err
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxFileSize+1))
	if err != nil {
		return file{}, err
	}
	if len(data) > MaxFileSize {
		return file{}, &Error{File: path, Text: fmt.Sprintf("file is larger than %d bytes", MaxFileSize)}
	}
	return file{data, info}, nil
}

// missing adds what to do about a file that is not there.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w (use the -config flag or the environment variable %s to say where %s is)", err, PathEnv, StaticName)
	}
	return err
}
