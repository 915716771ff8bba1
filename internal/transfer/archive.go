package transfer

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

// A file is one of a directory or archive.
type file struct {
	name string // With slashes, relative, without "..".
	mod  time.Time
	r    io.Reader // Valid until the next file.
}

// files goes through the files of a directory or an archive once.
type files interface {
	next() (file, error) // io.EOF at the end.
	close() error
}

// ErrArchive: an archive is damaged, has names that lead out of it, or becomes much larger
// than it is.
var ErrArchive = errors.New("archive cannot be used")

// openFiles returns a function that begins to go through the files of a directory, or of a
// zip, tar or tgz file. It is nil for other files.
func openFiles(name string) (func() (files, error), error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return func() (files, error) { return newDirFiles(name) }, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	if err = errors.Join(ignoreEOF(err), f.Close()); err != nil {
		return nil, err
	}
	switch head = head[:n]; {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return func() (files, error) { return newZipFiles(name) }, nil
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return func() (files, error) { return newTarFiles(name, info.Size(), true) }, nil
	case n > 262 && string(head[257:262]) == "ustar":
		return func() (files, error) { return newTarFiles(name, info.Size(), false) }, nil
	}
	return nil, nil
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// expansion bounds how much an archive becomes.
type expansion struct {
	r    io.Reader
	left *int64
}

func newExpansion(size int64) *int64 {
	n := max(minExpanded, size*maxExpansion)
	return &n
}

func (e expansion) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if *e.left -= int64(n); *e.left < 0 {
		return n, fmt.Errorf("%w: it becomes more than %d times larger than it is", ErrArchive, maxExpansion)
	}
	return n, err
}

// entryName returns the name of a file in an archive, which must not lead out of it.
func entryName(name string) (string, error) {
	name = path.Clean(strings.ReplaceAll(name, `\`, "/"))
	if !fs.ValidPath(name) {
		return "", fmt.Errorf("%w: it has a file %.100q", ErrArchive, name)
	}
	return name, nil
}

// tarFiles are the files of a tar or tgz file.
type tarFiles struct {
	f *os.File
	r *tar.Reader
	n int
}

func newTarFiles(name string, size int64, gz bool) (files, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	var r io.Reader = bufio.NewReaderSize(f, 1<<20)
	if gz {
		if r, err = gzip.NewReader(r); err != nil {
			return nil, errors.Join(fmt.Errorf("%w: %w", ErrArchive, err), f.Close())
		}
	}
	return &tarFiles{f: f, r: tar.NewReader(expansion{r, newExpansion(size)})}, nil
}

func (t *tarFiles) next() (file, error) {
	for {
		h, err := t.r.Next()
		if errors.Is(err, io.EOF) || errors.Is(err, ErrArchive) {
			return file{}, err
		} else if err != nil {
			return file{}, fmt.Errorf("%w: %w", ErrArchive, err)
		}
		if t.n++; t.n > maxArchiveFiles {
			return file{}, fmt.Errorf("%w: more than %d files", ErrArchive, maxArchiveFiles)
		}
		if h.Typeflag != tar.TypeReg {
			continue // Links too: what they lead to is no mail of the archive.
		}
		name, err := entryName(h.Name)
		return file{name, h.ModTime, t.r}, err
	}
}

func (t *tarFiles) close() error { return t.f.Close() }

// zipFiles are the files of a zip file.
type zipFiles struct {
	z    *zip.ReadCloser
	left *int64
	pos  int
	open io.Closer
}

func newZipFiles(name string) (files, error) {
	z, err := zip.OpenReader(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrArchive, err)
	}
	if len(z.File) > maxArchiveFiles {
		return nil, errors.Join(fmt.Errorf("%w: more than %d files", ErrArchive, maxArchiveFiles), z.Close())
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, errors.Join(err, z.Close())
	}
	return &zipFiles{z: z, left: newExpansion(info.Size())}, nil
}

func (z *zipFiles) next() (file, error) {
	if z.open != nil {
		_ = z.open.Close() // It was only read, or not to its end.
		z.open = nil
	}
	for z.pos < len(z.z.File) {
		zf := z.z.File[z.pos]
		z.pos++
		if !zf.Mode().IsRegular() {
			continue
		}
		name, err := entryName(zf.Name)
		if err != nil {
			return file{}, err
		}
		r, err := zf.Open()
		if err != nil {
			return file{}, fmt.Errorf("%w: %.100q: %w", ErrArchive, name, err)
		}
		z.open = r
		return file{name, zf.Modified, expansion{r, z.left}}, nil
	}
	return file{}, io.EOF
}

func (z *zipFiles) close() error {
	if z.open != nil {
		_ = z.open.Close() // It was only read.
	}
	return z.z.Close()
}

// dirFiles are the files below a directory, in the order of their names. Links that lead
// out of it are not followed.
type dirFiles struct {
	root *os.Root
	todo []string // What is to be looked at, the next last.
	open *os.File
}

func newDirFiles(name string) (files, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return &dirFiles{root: root, todo: []string{"."}}, nil
}

func (d *dirFiles) next() (file, error) {
	if d.open != nil {
		_ = d.open.Close() // It was only read.
		d.open = nil
	}
	for len(d.todo) > 0 {
		name := d.todo[len(d.todo)-1]
		d.todo = d.todo[:len(d.todo)-1]
		info, err := d.root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // Flags have changed meanwhile, or it was removed.
		} else if err != nil {
			return file{}, err
		}
		if info.IsDir() {
			if err := d.list(name); err != nil {
				return file{}, err
			}
		}
		if !info.Mode().IsRegular() {
			continue
		}
		f, err := d.root.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return file{}, err
		}
		d.open = f
		return file{name, info.ModTime(), f}, nil
	}
	return file{}, io.EOF
}

func (d *dirFiles) list(name string) error {
	entries, err := fs.ReadDir(d.root.FS(), name)
	if err != nil {
		return err
	}
	for i := len(entries) - 1; i >= 0; i-- {
		if n := entries[i].Name(); n != "tmp" {
			d.todo = append(d.todo, path.Join(name, n))
		}
	}
	return nil
}

func (d *dirFiles) close() error {
	if d.open != nil {
		_ = d.open.Close() // It was only read.
	}
	return d.root.Close()
}
