package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"mox/config/edit"
	"mox/internal/safefile"
)

// Errors of [Holder.Edit].
var (
	// ErrNotFile: the configuration is not from a file.
	ErrNotFile = errors.New("configuration is not from a file")
	// ErrBroken: domains.conf was changed by hand since it was read, and has errors.
	ErrBroken = errors.New("domains.conf was changed and has errors, which must be corrected first")
	// ErrChanged: domains.conf was changed by hand during an edit. Nothing was written,
	// and the edit can be made again.
	ErrChanged = errors.New("domains.conf was changed by someone else at the same time")
)

// Edit changes domains.conf. fn is given its text and what it means, as it is on disk
// now, and changes the text; the snapshot is its own, and changes to it have no effect. If
// the configuration is right with the new text, that is written, and is in use when Edit
// returns. Nothing is written when it is wrong, for which the error is [Errors], without
// lines because they are not those of the file. An error of fn is returned as it is. If fn changes nothing, nothing is
// written.
//
// The file is replaced as a whole, so that after a crash it is either the old or the new
// one, and keeps its permissions, and its owner if that is possible. One edit is made
// after another, and what others write with an editor is not overwritten.
func (h *Holder) Edit(fn func(doc *edit.Doc, s *Snapshot) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	e, err := h.edited(fn)
	if err != nil || e.next == nil {
		return err
	}
	info, err := replaceFile(e.path, e.data, e.old)
	if err != nil {
		return err
	}
	h.info = info
	h.next.Store(time.Now().Add(ReloadInterval).UnixNano())
	h.set(e.next)
	metricInUse.Set(1)
	h.log.Info("changed domains.conf", "domains", len(e.next.domains), "accounts", len(e.next.accounts))
	return nil
}

// Try is Edit that writes nothing: it says whether Edit would.
func (h *Holder) Try(fn func(doc *edit.Doc, s *Snapshot) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := h.edited(fn)
	return err
}

// edition is a changed domains.conf that is not written yet.
type edition struct {
	path string
	old  fs.FileInfo
	data []byte
	next *Snapshot // Nil if nothing is changed.
}

// edited makes an edition. It must be called with mu held.
func (h *Holder) edited(fn func(doc *edit.Doc, s *Snapshot) error) (e edition, err error) {
	base := h.current.Load()
	if h.log == nil || base.Path == "" {
		return e, ErrNotFile
	}
	if e.path, err = filepath.EvalSymlinks(dynamicPath(base.Path)); err != nil {
		return e, err
	}
	f, err := readFile(e.path)
	if err != nil {
		return e, err
	}
	// What the file says counts, whether or not it was read before: what was read has
	// been checked, and if that failed it must not be mixed with other changes.
	if base, err = base.withDynamic(f.data); err != nil {
		return e, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	doc, err := edit.Parse(f.data, Dynamic{})
	if err != nil {
		return e, err
	}
	if err := fn(doc, base); err != nil {
		return e, err
	}
	e.data, e.old = doc.Bytes(), f.info
	if bytes.Equal(e.data, f.data) {
		return e, nil
	}
	if len(e.data) > MaxFileSize {
		return e, &Error{Text: fmt.Sprintf("%s would be larger than %d bytes", DynamicName, MaxFileSize)}
	}
	if e.next, err = base.withDynamic(e.data); err != nil {
		return e, withoutLines(err)
	}
	return e, nil
}

// withoutLines removes what only makes sense for a file from errors.
func withoutLines(err error) error {
	var errs Errors
	if !errors.As(err, &errs) {
		return err
	}
	for _, e := range errs {
		if filepath.Base(e.File) == DynamicName {
			e.File, e.Line = "", 0
		}
	}
	return errs
}

// replaceFile atomically replaces the content of a file that was read when it had the
// given info, and returns its new info.
func replaceFile(path string, data []byte, old fs.FileInfo) (fs.FileInfo, error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*.tmp")
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("directory of the configuration must be writable for the user that mox runs as: %w", err)
	} else if err != nil {
		return nil, err
	}
	tmp := f.Name()
	if err := errors.Join(fill(f, data, old), f.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(tmp))
	}
	info, err := renameOver(tmp, path, old)
	if err != nil {
		return nil, errors.Join(err, os.Remove(tmp))
	}
	if err := safefile.SyncDir(dir); err != nil {
		// The new file is in place, and will be read like one that was changed by hand.
		return nil, fmt.Errorf("domains.conf was replaced, but may not be on disk yet: %w", err)
	}
	return info, nil
}

// renameOver puts a file in the place of one that must not have changed, and returns its
// info.
func renameOver(tmp, path string, old fs.FileInfo) (fs.FileInfo, error) {
	info, err := os.Stat(tmp)
	if err != nil {
		return nil, err
	}
	now, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !unchanged(now, old) {
		return nil, ErrChanged
	}
	err = os.Rename(tmp, path)
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("domains.conf must belong to the user that mox runs as, which a start of mox as root makes it: %w", err)
	}
	return info, err
}

// fill writes a new file like an old one, with other content.
func fill(f *os.File, data []byte, old fs.FileInfo) error {
	if err := keepOwner(f, old); err != nil {
		return fmt.Errorf("set owner: %w", err)
	}
	if err := f.Chmod(old.Mode().Perm()); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}
