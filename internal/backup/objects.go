package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
)

// Names of objects begin with:
const (
	objectPrefix     = "objects/"    // Contents.
	snapshotPrefix   = "snapshots/"  // Complete snapshots.
	incompletePrefix = "incomplete/" // Snapshots that were begun.
)

// errTooLarge: no object that this package wrote is so large.
func errTooLarge(name string) error {
	return fmt.Errorf("%w: object %s has more than %d octets", ErrDamaged, name, maxObject)
}

// objects is a bucket with snapshots.
type objects struct {
	bucket     bucket
	marker     marker
	recipients []age.Recipient
	identities []age.Identity
}

// root is what is kept of a complete snapshot, as JSON, under its name. It says where the
// manifest is.
type root struct {
	Info
	Manifest stored `json:"manifest"` // Compressed with gzip.
	// Refs has the names of all objects of files, 32 octets each. It is never encrypted, so
	// that what is not needed any more can be told without a key.
	Refs stored `json:"refs"`
}

// stored is where something is.
type stored struct {
	Size    int64    `json:"size"`
	SHA256  string   `json:"sha256"`
	Objects []string `json:"objects"`
}

// openObjects opens a place with objects, and makes it one if it is empty and to be written.
func openObjects(ctx context.Context, b bucket, o PlaceOptions) (_ *Place, rerr error) {
	defer func() {
		if rerr != nil {
			rerr = errors.Join(rerr, b.close())
		}
	}()
	var m marker
	data, err := b.get(ctx, markerName)
	switch {
	case err == nil:
		m, err = parseMarker(data)
	case errors.Is(err, fs.ErrNotExist) && o.Create:
		if m, data, err = newMarker(kindObjects, len(o.Recipients) > 0); err == nil {
			err = b.replace(ctx, markerName, data)
		}
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%w: %s has no %s", ErrNoBackup, o.Location, markerName)
	}
	if err != nil {
		return nil, err
	}
	if m.Kind != kindObjects {
		return nil, fmt.Errorf("%w: %s in storage of objects is about a %s", ErrDamaged, markerName, m.Kind)
	}
	if !m.Encrypted && len(o.Recipients) > 0 {
		return nil, fmt.Errorf("%w: backups in %s are not encrypted, use another place for those that are", ErrEncryption, o.Location)
	}
	return &Place{repo: &objects{b, m, o.Recipients, o.Identities}, marker: m, location: o.Location}, nil
}

func (o *objects) close() error { return o.bucket.close() }

func (o *objects) list(ctx context.Context) ([]Info, error) {
	var l []Info
	err := o.bucket.list(ctx, snapshotPrefix, func(name string, _ time.Time) error {
		name = strings.TrimPrefix(name, snapshotPrefix)
		if !isName(name) {
			return nil
		}
		r, err := o.root(ctx, name)
		if err != nil {
			return err
		}
		l = append(l, r.Info)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = o.bucket.list(ctx, incompletePrefix, func(name string, _ time.Time) error {
		name = strings.TrimPrefix(name, incompletePrefix)
		started, err := time.Parse(nameFormat, name)
		if err == nil && !slices.ContainsFunc(l, func(i Info) bool { return i.Name == name }) {
			l = append(l, Info{Name: name, Started: started})
		}
		return nil
	})
	slices.SortFunc(l, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return l, err
}

func (o *objects) root(ctx context.Context, name string) (r root, err error) {
	data, err := o.bucket.get(ctx, snapshotPrefix+name)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil || r.Name != name || !r.Complete {
		return r, fmt.Errorf("%w: description of snapshot %s", ErrDamaged, name)
	}
	for _, s := range slices.Concat(r.Manifest.Objects, r.Refs.Objects) {
		if !isHash(s) {
			return r, fmt.Errorf("%w: description of snapshot %s", ErrDamaged, name)
		}
	}
	return r, nil
}

func (o *objects) open(ctx context.Context, _ string, e Entry) (io.ReadCloser, error) {
	return o.reader(ctx, e.Objects, o.marker.Encrypted), nil
}

func (o *objects) reader(ctx context.Context, names []string, encrypted bool) io.ReadCloser {
	return io.NopCloser(&objectReader{ctx: ctx, o: o, names: names, encrypted: encrypted})
}

// objectReader reads objects one after another.
type objectReader struct {
	ctx       context.Context
	o         *objects
	names     []string
	encrypted bool
	cur       []byte
}

func (r *objectReader) Read(p []byte) (int, error) {
	for len(r.cur) == 0 {
		if len(r.names) == 0 {
			return 0, io.EOF
		}
		var err error
		if r.cur, err = r.o.load(r.ctx, r.names[0], r.encrypted); err != nil {
			return 0, err
		}
		r.names = r.names[1:]
	}
	n := copy(p, r.cur)
	r.cur = r.cur[n:]
	return n, nil
}

// load returns what is in an object, which is verified and decrypted.
func (o *objects) load(ctx context.Context, name string, encrypted bool) ([]byte, error) {
	data, err := o.bucket.get(ctx, objectName(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	} else if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != name {
		return nil, fmt.Errorf("%w: object %s is not what was written", ErrDamaged, name)
	}
	if !encrypted {
		return data, nil
	}
	if len(o.identities) == 0 {
		return nil, fmt.Errorf("%w: the backup is encrypted, and an identity is needed to read it", ErrEncryption)
	}
	r, err := age.Decrypt(bytes.NewReader(data), o.identities...)
	if err != nil {
		return nil, fmt.Errorf("decrypt object %s: %w", name, err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxObject))
	if err != nil {
		return nil, fmt.Errorf("decrypt object %s: %w", name, err)
	}
	return plain, nil
}

// save stores data, encrypted if what is here is, and returns the name of the object.
func (o *objects) save(ctx context.Context, data []byte, encrypt bool) (string, error) {
	if encrypt {
		var buf bytes.Buffer
		w, err := age.Encrypt(&buf, o.recipients...)
		if err != nil {
			return "", fmt.Errorf("encrypt: %w", err)
		}
		if _, err := w.Write(data); err != nil {
			return "", fmt.Errorf("encrypt: %w", err)
		}
		if err := w.Close(); err != nil {
			return "", fmt.Errorf("encrypt: %w", err)
		}
		data = buf.Bytes()
	}
	sum := sha256.Sum256(data)
	name := hex.EncodeToString(sum[:])
	return name, o.bucket.put(ctx, objectName(name), data)
}

func objectName(hash string) string { return objectPrefix + hash[:2] + "/" + hash }
