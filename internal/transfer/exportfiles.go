package transfer

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mox/internal/safefile"
)

// archive takes the files of an export.
type archive interface {
	dir(name string) error
	file(name string, size int64, at time.Time, r io.Reader) error
	create(name string) (io.WriteCloser, error) // One at a time, and nothing else meanwhile.
	finish() error                              // Makes all durable, and reads it again.
	discard() error
}

func newArchive(dst string) (archive, error) {
	switch {
	case strings.HasSuffix(dst, ".tgz"), strings.HasSuffix(dst, ".tar.gz"):
		return newTgzExport(dst)
	case strings.HasSuffix(dst, ".zip"):
		return newZipExport(dst)
	}
	if err := os.Mkdir(dst, 0700); err != nil {
		return nil, err
	}
	return &dirExport{root: dst, dirs: map[string]bool{dst: true}}, nil
}

// errVerify: what was read again is not what was written.
var errVerify = errors.New("what was written is not what is read again")

// dirExport is an export into a directory.
type dirExport struct {
	root string
	dirs map[string]bool
}

func (d *dirExport) dir(name string) error {
	p := filepath.Join(d.root, filepath.FromSlash(name))
	for q := p; !d.dirs[q]; q = filepath.Dir(q) {
		d.dirs[q] = true
	}
	return os.MkdirAll(p, 0700)
}

func (d *dirExport) file(name string, size int64, at time.Time, r io.Reader) error {
	w, err := d.create(name)
	if err != nil {
		return err
	}
	n, err := io.Copy(w, r)
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	return os.Chtimes(filepath.Join(d.root, filepath.FromSlash(name)), at, at)
}

func (d *dirExport) create(name string) (io.WriteCloser, error) {
	p := filepath.Join(d.root, filepath.FromSlash(name))
	if err := d.dir(filepath.ToSlash(filepath.Dir(name))); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(p, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0600)
	if err != nil {
		return nil, err
	}
	return &verified{f: f, sum: sha256.New()}, nil
}

// verified is a file that is synced and read again when it is closed.
type verified struct {
	f   *os.File
	sum hash.Hash
}

func (v *verified) Write(p []byte) (int, error) {
	v.sum.Write(p)
	return v.f.Write(p)
}

func (v *verified) Close() (rerr error) {
	defer func() { rerr = errors.Join(rerr, v.f.Close()) }()
	if err := v.f.Sync(); err != nil {
		return err
	}
	if _, err := v.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	read := sha256.New()
	if _, err := io.Copy(read, v.f); err != nil {
		return err
	}
	if !bytes.Equal(read.Sum(nil), v.sum.Sum(nil)) {
		return fmt.Errorf("%s: %w", v.f.Name(), errVerify)
	}
	return nil
}

func (d *dirExport) finish() error {
	for dir := range d.dirs {
		if err := safefile.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

func (d *dirExport) discard() error { return os.RemoveAll(d.root) }

// tgzExport is an export into a tgz file.
type tgzExport struct {
	path string
	f    *os.File
	gz   *gzip.Writer
	tw   *tar.Writer
	sum  hash.Hash // Of names and content, to be compared with what is read again.
}

func newTgzExport(path string) (*tgzExport, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0600)
	if err != nil {
		return nil, err
	}
	gz := gzip.NewWriter(f)
	return &tgzExport{path, f, gz, tar.NewWriter(gz), sha256.New()}, nil
}

func (t *tgzExport) dir(name string) error {
	return t.tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0700, Format: tar.FormatPAX})
}

func (t *tgzExport) file(name string, size int64, at time.Time, r io.Reader) error {
	if err := t.tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0600, Size: size, ModTime: at, Format: tar.FormatPAX}); err != nil {
		return err
	}
	data := sha256.New()
	n, err := io.Copy(io.MultiWriter(t.tw, data), r)
	fmt.Fprintf(t.sum, "%q %d %x\n", name, n, data.Sum(nil))
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// create keeps the file beside the archive until its size is known.
func (t *tgzExport) create(name string) (io.WriteCloser, error) {
	f, err := os.CreateTemp(filepath.Dir(t.path), ".mox-export-")
	if err != nil {
		return nil, err
	}
	return &tarred{f, t, name}, nil
}

type tarred struct {
	*os.File
	t    *tgzExport
	name string
}

func (f *tarred) Close() error {
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err == nil {
		err = f.t.file(f.name, size, time.Now(), f.File)
	}
	return errors.Join(err, f.File.Close(), os.Remove(f.Name()))
}

func (t *tgzExport) finish() error {
	for _, fn := range []func() error{t.tw.Close, t.gz.Close, t.f.Sync, t.f.Close} {
		if err := fn(); err != nil {
			return err
		}
	}
	r, err := newTarFiles(t.path, 1<<48, true)
	if err != nil {
		return err
	}
	sum, err := sumFiles(r)
	if err == nil && !bytes.Equal(sum, t.sum.Sum(nil)) {
		err = fmt.Errorf("%s: %w", t.path, errVerify)
	}
	return err
}

// sumFiles reads all files of an archive.
func sumFiles(l files) (_ []byte, rerr error) {
	defer func() { rerr = errors.Join(rerr, l.close()) }()
	sum := sha256.New()
	for {
		f, err := l.next()
		if errors.Is(err, io.EOF) {
			return sum.Sum(nil), nil
		} else if err != nil {
			return nil, err
		}
		data := sha256.New()
		n, err := io.Copy(data, f.r)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(sum, "%q %d %x\n", f.name, n, data.Sum(nil))
	}
}

func (t *tgzExport) discard() error {
	_ = t.f.Close() // It may be closed.
	return os.Remove(t.path)
}

// zipExport is an export into a zip file.
type zipExport struct {
	path string
	f    *os.File
	zw   *zip.Writer
	sum  hash.Hash // As that of a tgzExport.
}

func newZipExport(path string) (*zipExport, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0600)
	if err != nil {
		return nil, err
	}
	return &zipExport{path, f, zip.NewWriter(f), sha256.New()}, nil
}

func (z *zipExport) dir(name string) error {
	_, err := z.zw.Create(name + "/")
	return err
}

func (z *zipExport) file(name string, _ int64, at time.Time, r io.Reader) error {
	w, err := z.entry(name, at)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	return w.Close()
}

func (z *zipExport) create(name string) (io.WriteCloser, error) { return z.entry(name, time.Now()) }

func (z *zipExport) entry(name string, at time.Time) (io.WriteCloser, error) {
	w, err := z.zw.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: at})
	return &zipEntry{w: w, z: z, name: name, sum: sha256.New()}, err
}

type zipEntry struct {
	w    io.Writer
	z    *zipExport
	name string
	n    int64
	sum  hash.Hash
}

func (e *zipEntry) Write(p []byte) (int, error) {
	e.sum.Write(p)
	e.n += int64(len(p))
	return e.w.Write(p)
}

func (e *zipEntry) Close() error {
	fmt.Fprintf(e.z.sum, "%q %d %x\n", e.name, e.n, e.sum.Sum(nil))
	return nil
}

func (z *zipExport) finish() error {
	for _, fn := range []func() error{z.zw.Close, z.f.Sync, z.f.Close} {
		if err := fn(); err != nil {
			return err
		}
	}
	r, err := newZipFiles(z.path)
	if err != nil {
		return err
	}
	sum, err := sumFiles(r)
	if err == nil && !bytes.Equal(sum, z.sum.Sum(nil)) {
		err = fmt.Errorf("%s: %w", z.path, errVerify)
	}
	return err
}

func (z *zipExport) discard() error {
	_ = z.f.Close() // It may be closed.
	return os.Remove(z.path)
}
