package http

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"

	"mox/config"
	"mox/mlog"
)

// index is the name of the file for a directory.
const index = "index.html"

// static answers a request with a file. It returns false if another handler is to answer.
func (q *request) static(w *response, r *http.Request, c *config.WebStatic) bool {
	name, ok := strings.CutPrefix(r.URL.Path, c.StripPrefix)
	if !ok || c.StripPrefix != "" && !strings.HasSuffix(c.StripPrefix, "/") && name != "" && name[0] != '/' {
		return false
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		if !c.ContinueNotFound {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "405 - method not allowed", http.StatusMethodNotAllowed)
		}
		return !c.ContinueNotFound
	}
	err := q.serveFile(w, r, c, name)
	code, text := http.StatusInternalServerError, "500 - internal server error"+q.publicID()
	switch {
	case err == nil:
		return true
	case errors.Is(err, fs.ErrPermission):
		code, text = http.StatusForbidden, "403 - permission denied"
	case isNotFound(err):
		code, text = http.StatusNotFound, "404 - page not found"
	default:
		q.log.Error("serving file", mlog.Err(err), "root", c.Root, "path", r.URL.Path)
	}
	if c.ContinueNotFound && code != http.StatusInternalServerError {
		return false
	}
	http.Error(w, text, code)
	return true
}

// errOutside is about a file that is not below its root, such as that of a symbolic link.
// Package os does not export its own.
const errOutside = "path escapes from parent"

// isNotFound reports whether an error says that there is no such file, also because there
// cannot be.
func isNotFound(err error) bool {
	var pe *fs.PathError
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENAMETOOLONG) || errors.Is(err, syscall.EINVAL) ||
		errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENXIO) || errors.As(err, &pe) && pe.Err.Error() == errOutside
}

// open opens a file below a root, and does not wait for one that is not a file.
func open(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// serveFile answers a request with a file. If there is an error it has written nothing.
func (q *request) serveFile(w *response, r *http.Request, c *config.WebStatic, name string) error {
	root, err := os.OpenRoot(c.Root)
	if err != nil {
		q.log.Error("opening directory of web handler (the server may read those that domains.conf had when it was started)", mlog.Err(err))
		return err
	}
	defer root.Close()
	slash := name == "" || strings.HasSuffix(name, "/")
	if name = strings.Trim(name, "/"); name == "" {
		name = "."
	}
	f, info, err := open(root, name)
	if err != nil {
		return err
	}
	defer f.Close()
	switch {
	case info.IsDir() && !strings.HasSuffix(r.URL.Path, "/"):
		w.setHeader(c)
		u := url.URL{Path: r.URL.Path + "/", RawQuery: r.URL.RawQuery}
		http.Redirect(w, r, u.String(), http.StatusTemporaryRedirect)
		return nil
	case info.IsDir():
		return q.serveIndex(w, r, c, root, name, f)
	case slash:
		return fs.ErrNotExist
	}
	w.serveContent(r, c, f, info)
	return nil
}

// serveIndex answers a request for a directory.
func (q *request) serveIndex(w *response, r *http.Request, c *config.WebStatic, root *os.Root, name string, dir *os.File) error {
	f, info, err := open(root, name+"/"+index)
	switch {
	case err == nil && info.Mode().IsRegular():
		defer f.Close()
		w.serveContent(r, c, f, info)
		return nil
	case err == nil:
		err = errors.Join(fs.ErrPermission, f.Close())
	case isNotFound(err):
		err = fs.ErrPermission
	}
	if !c.ListFiles || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	page, err := listing(dir, r.URL.Path)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	w.setHeader(c)
	_, _ = w.Write(page) // The client may be gone.
	return nil
}

// setHeader sets the header fields of a handler.
func (w *response) setHeader(c *config.WebStatic) {
	for name, values := range c.Header {
		w.Header()[name] = values
	}
}

// staticFile is a file that may be sent compressed.
type staticFile struct {
	*os.File
	info fs.FileInfo
}

// serveContent writes a file, or what a conditional or range request asks for.
func (w *response) serveContent(r *http.Request, c *config.WebStatic, f *os.File, info fs.FileInfo) {
	w.file = staticFile{f, info}
	w.Header().Set("ETag", fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size()))
	w.setHeader(c)
	http.ServeContent(w, r, info.Name(), info.ModTime(), f)
}
