package privsep

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"mox/config"
)

// A keyFile is a file that root opens.
type keyFile struct {
	path string
	open func() (*os.File, error)
}

// keyFiles returns the files that root opens for a configuration: those of [KeyFiles],
// and keys that domains.conf names and the user cannot read.
func keyFiles(s *config.Snapshot, a Account) []keyFile {
	var files []keyFile
	seen := map[string]bool{}
	for _, group := range KeyFiles(s) {
		for _, path := range group {
			if !seen[path] {
				seen[path] = true
				files = append(files, keyFile{path, func() (*os.File, error) { return openRegular(path) }})
			}
		}
	}
	for _, path := range dkimFiles(s) {
		info, err := os.Stat(path)
		if seen[path] || err != nil || permitted(info, a, 4) {
			continue
		}
		seen[path] = true
		files = append(files, keyFile{path, func() (*os.File, error) { return openBeneath(configDir(s), path) }})
	}
	return files
}

// openRegular opens a regular file. Nothing else is waited for.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return regular(f)
}

func regular(f *os.File) (*os.File, error) {
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", f.Name())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// openBeneath opens a file within a directory that the user may write to: a file of
// others cannot be had by a link to it.
func openBeneath(dir, path string) (_ *os.File, rerr error) {
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { rerr = errors.Join(rerr, root.Close()) }()
	f, err := root.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if f, err = regular(f); err != nil {
		return nil, err
	}
	if n := links(f); n != 1 {
		return nil, errors.Join(fmt.Errorf("%s has %d links", path, n), f.Close())
	}
	return f, nil
}

func links(f *os.File) uint64 {
	var info fs.FileInfo
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Nlink)
	}
	return 1
}
