package safefile

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

const (
	// SpoolMemory is how many bytes a [Spool] keeps in memory before it goes to a file.
	SpoolMemory = 256 << 10

	// spoolBuffer is how many bytes a spool with a file collects before it writes
	// them.
	spoolBuffer = 64 << 10

	// SpoolPerm are the permissions of files that a spool makes: mail is for the
	// server's user alone.
	SpoolPerm = 0600
)

// Errors of a [Spool].
var (
	// ErrTooLarge is returned by writes once a spool has got more than its maximum. It
	// sticks, so that the rest of the data can be drained and discarded.
	ErrTooLarge = errors.New("safefile: data larger than the maximum")

	// ErrSpoolState is returned by writes after the content has been linked, and by
	// all use after Close.
	ErrSpoolState = errors.New("safefile: spool is closed or its content is in use")
)

// SpoolOptions are for [NewSpool].
type SpoolOptions struct {
	Dir     string // Directory for the temporary file. Needed, and best on the file system of the destination.
	FS      FS     // Nil is OS.
	MaxSize int64  // Maximum of bytes as stored. Zero is no maximum.
	Memory  int    // Bytes kept in memory, also while there is a file. Zero is SpoolMemory.

	// CRLF makes a bare LF into CRLF while writing. A CR at the end of one Write and
	// an LF at the start of the next are one CRLF. A bare CR is kept.
	CRLF bool
}

// A Spool holds a message while it is being received: in memory when it is small,
// otherwise in a temporary file that Close removes. First it is written, by one
// goroutine; then it is read, by any number at a time. Reading what has been
// written so far between writes is fine too.
type Spool struct {
	opts SpoolOptions

	mu     sync.Mutex // Guards what follows.
	last   byte       // Last byte given to Write, for CRLF.
	size   int64      // Of file and buf together.
	buf    []byte     // Not written to the file yet. All content if there is no file.
	file   File       // Nil until the content is larger than Memory.
	err    error      // Sticky error of writes.
	linked bool       // The file has another name, writes would change that.
	closed bool
}

// NewSpool returns an empty spool. It must be closed.
func NewSpool(opts SpoolOptions) *Spool {
	if opts.FS == nil {
		opts.FS = OS
	}
	if opts.Memory == 0 {
		opts.Memory = SpoolMemory
	}
	return &Spool{opts: opts}
}

// Write appends p. It returns [ErrTooLarge] when the content, with CRs added,
// would exceed the maximum, after which the content is not to be used. Errors
// stick.
func (s *Spool) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.linked {
		return 0, ErrSpoolState
	}
	if s.err != nil {
		return 0, s.err
	}
	if !s.opts.CRLF {
		if err := s.append(p); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	return s.writeCRLF(p)
}

// writeCRLF appends p in pieces that end before a bare LF.
func (s *Spool) writeCRLF(p []byte) (int, error) {
	start := 0
	for i, b := range p {
		if b == '\n' && s.last != '\r' {
			if err := s.append(p[start:i]); err != nil {
				return start, err
			}
			if err := s.append([]byte{'\r'}); err != nil {
				return i, err
			}
			start = i
		}
		s.last = b
	}
	if err := s.append(p[start:]); err != nil {
		return start, err
	}
	return len(p), nil
}

func (s *Spool) append(p []byte) error {
	if s.opts.MaxSize > 0 && s.size+int64(len(p)) > s.opts.MaxSize {
		s.err = ErrTooLarge
		return s.err
	}
	if err := s.store(p); err != nil {
		s.err = err
		return err
	}
	s.size += int64(len(p))
	return nil
}

func (s *Spool) store(p []byte) error {
	buffer := min(spoolBuffer, s.opts.Memory)
	limit := s.opts.Memory
	if s.file != nil {
		limit = buffer
	}
	if len(s.buf)+len(p) <= limit {
		s.buf = append(s.buf, p...)
		return nil
	}
	if s.file == nil {
		f, err := s.opts.FS.CreateTemp(s.opts.Dir, "spool-*")
		if err != nil {
			return fmt.Errorf("create spool file: %w", err)
		}
		s.file = f
	}
	if err := s.flush(); err != nil {
		return err
	}
	if len(p) <= buffer {
		s.buf = append(s.buf, p...)
		return nil
	}
	if _, err := s.file.Write(p); err != nil {
		return fmt.Errorf("write spool file: %w", err)
	}
	return nil
}

// flush writes buf to the file.
func (s *Spool) flush() error {
	if len(s.buf) == 0 {
		return nil
	}
	_, err := s.file.Write(s.buf)
	if err != nil {
		return fmt.Errorf("write spool file: %w", err)
	}
	if cap(s.buf) > 2*spoolBuffer {
		s.buf = nil
	}
	s.buf = s.buf[:0]
	return nil
}

// Size returns the number of bytes of the content.
func (s *Spool) Size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size
}

// Bytes returns the content and true if it is in memory. The bytes are shared and
// must not be changed; they are valid until the next Write or Close.
func (s *Spool) Bytes() ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil || s.closed {
		return nil, false
	}
	return s.buf, true
}

// ready makes the content readable from the file, if there is one.
func (s *Spool) ready() error {
	if s.closed {
		return ErrSpoolState
	}
	if s.err != nil {
		return s.err
	}
	if s.file == nil {
		return nil
	}
	if err := s.flush(); err != nil {
		s.err = err
		return err
	}
	return nil
}

// ReadAt reads the content, as io.ReaderAt says.
func (s *Spool) ReadAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	if err := s.ready(); err != nil {
		s.mu.Unlock()
		return 0, err
	}
	if s.file != nil {
		f := s.file
		s.mu.Unlock() // Reads of a file go on in parallel.
		return f.ReadAt(p, off)
	}
	defer s.mu.Unlock()
	if off < 0 {
		return 0, errors.New("safefile: negative offset")
	}
	if off >= int64(len(s.buf)) {
		return 0, io.EOF
	}
	n := copy(p, s.buf[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Reader returns a new reader over the content as it is now.
func (s *Spool) Reader() *io.SectionReader {
	return io.NewSectionReader(s, 0, s.Size())
}

// WriteFileExcl creates a file with the content at path, which must not exist,
// and syncs it; the directory is not synced. Content that is in a temporary file
// is linked, or copied where that cannot be done, so the new file must never be
// changed, and the spool cannot be written to any more. On failure there is no
// file at path, unless the error matches fs.ErrExist.
func (s *Spool) WriteFileExcl(path string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(); err != nil {
		return err
	}
	if s.file == nil {
		return CreateExclFS(s.opts.FS, path, s.buf, SpoolPerm)
	}
	s.linked = true
	return linkOrCopy(s.opts.FS, path, s.file, true)
}

// StartFileExcl is WriteFileExcl, but with content in memory it leaves the sync to
// the function that it returns, which must be called, once. After an error of that
// function the file is gone.
func (s *Spool) StartFileExcl(path string) (finish func() error, err error) {
	s.mu.Lock()
	if s.file != nil {
		s.mu.Unlock()
		return func() error { return nil }, s.WriteFileExcl(path)
	}
	defer s.mu.Unlock()
	if err := s.ready(); err != nil {
		return nil, err
	}
	f, err := s.opts.FS.CreateExcl(path, SpoolPerm)
	if err != nil {
		return nil, err
	}
	return s.startFile(f, path)
}

// StartFile is StartFileExcl for a new file that is there already, at path and
// empty. The content must be in memory. In any case, the file is closed in the end,
// and removed on failure.
func (s *Spool) StartFile(f File, path string) (finish func() error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(); err != nil {
		return nil, discard(s.opts.FS, f, path, err)
	}
	if s.file != nil {
		return nil, discard(s.opts.FS, f, path, ErrSpoolState)
	}
	return s.startFile(f, path)
}

// startFile writes what is in memory to an empty file. The caller has the lock.
func (s *Spool) startFile(f File, path string) (finish func() error, err error) {
	fsys := s.opts.FS
	if _, err := f.Write(s.buf); err != nil {
		return nil, discard(fsys, f, path, fmt.Errorf("write: %w", err))
	}
	return func() error { return syncClose(fsys, f, path) }, nil
}

// Close removes the temporary file and frees memory. Files made by WriteFileExcl
// stay. It may be called more than once.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.buf = nil
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	return errors.Join(err, s.opts.FS.Remove(s.file.Name()))
}
