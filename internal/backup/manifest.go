package backup

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"
)

// manifestVersion is that of the format of manifests.
const manifestVersion = 1

// ErrDamaged: a manifest or a file is not what was written.
var ErrDamaged = errors.New("backup is damaged")

// Header is the first line of a manifest.
type Header struct {
	Version int       `json:"moxbackup"` // Of the format.
	Name    string    `json:"name"`      // Of the snapshot.
	Started time.Time `json:"started"`
	Host    string    `json:"host"`
	Program string    `json:"program"` // Version of mox.
}

// Entry is a line of a manifest: one file.
type Entry struct {
	// Path begins with "data/", for the data directory, "config/", for the directory of
	// mox.conf, or "external/", for files elsewhere that the configuration names. It is
	// with slashes.
	Path   string      `json:"path"`
	Size   int64       `json:"size"` // Octets.
	Mode   fs.FileMode `json:"mode"` // Permissions.
	Time   int64       `json:"time"` // Of the last change, in nanoseconds since 1970.
	SHA256 string      `json:"sha256"`

	// Objects has the names of the chunks of the file, where files are kept as objects,
	// and Chunks their SHA-256, if there is more than one and they are encrypted.
	Objects []string `json:"objects,omitempty"`
	Chunks  []string `json:"chunks,omitempty"`
}

// Footer is the last line of a manifest, without which it is not complete.
type Footer struct {
	End      bool      `json:"end"` // Always true.
	Finished time.Time `json:"finished"`
	Files    int64     `json:"files"`
	Size     int64     `json:"size"`     // Octets of all files.
	Accounts int       `json:"accounts"` // How many.
	Failed   int       `json:"failed"`   // Files that could not be read.
	Failures []string  `json:"failures,omitempty"`
	SHA256   string    `json:"sha256"` // Of all lines before.
}

// manifestWriter writes a manifest.
type manifestWriter struct {
	w    io.Writer
	sum  hash.Hash
	last string
	foot Footer
}

func newManifestWriter(w io.Writer, h Header) (*manifestWriter, error) {
	m := &manifestWriter{w: w, sum: sha256.New()}
	return m, m.line(h)
}

func (m *manifestWriter) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	b = append(b, '\n')
	_, _ = m.sum.Write(b)
	_, err = m.w.Write(b)
	return err
}

// add writes a file, which must be in order.
func (m *manifestWriter) add(e Entry) error {
	if m.last != "" && comparePaths(m.last, e.Path) >= 0 {
		return fmt.Errorf("%q after %q in manifest", e.Path, m.last)
	}
	m.last = e.Path
	m.foot.Files++
	m.foot.Size += e.Size
	return m.line(e)
}

// finish writes the last line.
func (m *manifestWriter) finish(f Footer) (Footer, error) {
	f.End, f.Files, f.Size = true, m.foot.Files, m.foot.Size
	f.SHA256 = hex.EncodeToString(m.sum.Sum(nil))
	return f, m.line(f)
}

// manifestReader reads a manifest line by line.
type manifestReader struct {
	header Header
	footer Footer // After the end.

	br    *bufio.Reader
	sum   hash.Hash
	last  string
	files int64
	size  int64
}

func newManifestReader(r io.Reader) (*manifestReader, error) {
	m := &manifestReader{br: bufio.NewReaderSize(r, 64<<10), sum: sha256.New()}
	line, err := m.line()
	if err != nil {
		return nil, err
	}
	_, _ = m.sum.Write(line)
	if err := json.Unmarshal(line, &m.header); err != nil || m.header.Version == 0 {
		return nil, fmt.Errorf("%w: manifest does not begin as one: %v", ErrDamaged, err)
	}
	if m.header.Version != manifestVersion {
		return nil, fmt.Errorf("backup has format %d, this program knows %d: use a newer mox", m.header.Version, manifestVersion)
	}
	return m, nil
}

// line returns the next line with its end.
func (m *manifestReader) line() ([]byte, error) {
	var line []byte
	for {
		part, err := m.br.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line, nil
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("%w: manifest is not complete", ErrDamaged)
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(line) > maxLine:
			return nil, fmt.Errorf("%w: line in manifest is longer than %d octets", ErrDamaged, maxLine)
		}
	}
}

// next returns the next file, and io.EOF after the last one of a manifest that is
// complete.
func (m *manifestReader) next() (Entry, error) {
	line, err := m.line()
	if err != nil {
		return Entry{}, err
	}
	if bytes.HasPrefix(line, []byte(`{"end":true`)) {
		return Entry{}, m.end(line)
	}
	_, _ = m.sum.Write(line)
	var e Entry
	if err := json.Unmarshal(line, &e); err != nil {
		return Entry{}, fmt.Errorf("%w: line in manifest: %w", ErrDamaged, err)
	}
	if err := e.check(); err != nil {
		return Entry{}, err
	}
	if m.last != "" && comparePaths(m.last, e.Path) >= 0 {
		return Entry{}, fmt.Errorf("%w: %q after %q in manifest", ErrDamaged, e.Path, m.last)
	}
	m.last = e.Path
	m.files++
	m.size += e.Size
	return e, nil
}

func (m *manifestReader) end(line []byte) error {
	if err := json.Unmarshal(line, &m.footer); err != nil {
		return fmt.Errorf("%w: last line of manifest: %w", ErrDamaged, err)
	}
	if m.footer.Files != m.files || m.footer.Size != m.size || m.footer.SHA256 != hex.EncodeToString(m.sum.Sum(nil)) {
		return fmt.Errorf("%w: manifest is not what was written", ErrDamaged)
	}
	return io.EOF
}

// check returns what cannot be of a line that this package wrote. A path must not lead
// out of the directory that is restored to.
func (e Entry) check() error {
	if path.Clean(e.Path) != e.Path || !fs.ValidPath(e.Path) || strings.ContainsAny(e.Path, "\x00\\") || section(e.Path) == "" {
		return fmt.Errorf("%w: path %q in manifest", ErrDamaged, e.Path)
	}
	if e.Size < 0 || e.Mode&^fs.ModePerm != 0 || !isHash(e.SHA256) {
		return fmt.Errorf("%w: size, mode or hash of %q in manifest", ErrDamaged, e.Path)
	}
	for _, name := range e.Objects {
		if !isHash(name) {
			return fmt.Errorf("%w: object of %q in manifest", ErrDamaged, e.Path)
		}
	}
	return nil
}

func isHash(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size
}

// Sections are the first parts of paths in a manifest.
const (
	dataSection     = "data"
	configSection   = "config"
	externalSection = "external"
)

// section returns the first part of a path, if it is one there is.
func section(p string) string {
	s, rest, _ := strings.Cut(p, "/")
	if rest == "" || s != dataSection && s != configSection && s != externalSection {
		return ""
	}
	return s
}

const (
	queuePrefix    = dataSection + "/queue/"
	accountsPrefix = dataSection + "/accounts/"
)

// sortKey is by what files are ordered in a manifest: as they are copied.
type sortKey struct {
	rank int    // Queue, accounts, other data, configuration, files elsewhere.
	name string // Account, or path.
	part int    // Database, junk filter, messages.
	id   int64  // Of the message.
}

func keyOf(p string) sortKey {
	switch {
	case strings.HasPrefix(p, queuePrefix):
		if part, id, ok := partOf(p[len(queuePrefix):]); ok {
			return sortKey{0, "", part, id}
		}
	case strings.HasPrefix(p, accountsPrefix):
		name, rest, _ := strings.Cut(p[len(accountsPrefix):], "/")
		if part, id, ok := partOf(rest); ok {
			return sortKey{1, name, part, id}
		}
	}
	rank := map[string]int{dataSection: 2, configSection: 3, externalSection: 4}[section(p)]
	return sortKey{rank: rank, name: strings.ReplaceAll(p, "/", "\x00")}
}

// partOf returns which part of an account or of the queue a file is, if it is one of
// those that the database goes with.
func partOf(rest string) (part int, id int64, ok bool) {
	switch {
	case rest == "index.db":
		return 0, 0, true
	case rest == "junkfilter.db":
		return 1, 0, true
	case strings.HasPrefix(rest, "msg/"):
		id, err := strconv.ParseInt(path.Base(rest), 10, 64)
		return 2, id, err == nil
	}
	return 0, 0, false
}

// comparePaths compares the places of two files in a manifest.
func comparePaths(a, b string) int {
	x, y := keyOf(a), keyOf(b)
	return cmp.Or(cmp.Compare(x.rank, y.rank), cmp.Compare(x.name, y.name), cmp.Compare(x.part, y.part), cmp.Compare(x.id, y.id), cmp.Compare(a, b))
}

// A cursor finds files in a manifest, which are asked for in its order.
type cursor struct {
	r    *manifestReader
	next Entry
	err  error // Io.EOF at the end.
}

func newCursor(r io.Reader) (*cursor, error) {
	m, err := newManifestReader(r)
	if err != nil {
		return nil, err
	}
	c := &cursor{r: m}
	c.next, c.err = m.next()
	return c, nil
}

// find returns the file of a path, if there is one.
func (c *cursor) find(p string) (Entry, bool) {
	for c.err == nil {
		switch n := comparePaths(c.next.Path, p); {
		case n == 0:
			return c.next, true
		case n > 0:
			return Entry{}, false
		}
		c.next, c.err = c.r.next()
	}
	return Entry{}, false
}
