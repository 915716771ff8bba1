package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
)

// copyBuffer is how much is copied between two looks at the context.
const copyBuffer = 256 << 10

// copyBoth copies all of r to w, and says which of them an error is of.
func copyBoth(ctx context.Context, w io.Writer, r io.Reader) (n int64, rerr, werr error) {
	buf := make([]byte, copyBuffer)
	for {
		if err := ctx.Err(); err != nil {
			return n, err, nil
		}
		k, err := r.Read(buf)
		if k > 0 {
			m, werr := w.Write(buf[:k])
			n += int64(m)
			if werr != nil {
				return n, nil, werr
			}
		}
		if errors.Is(err, io.EOF) {
			return n, nil, nil
		} else if err != nil {
			return n, err, nil
		}
	}
}

// hashFile returns the SHA-256 and the size of a file.
func hashFile(ctx context.Context, file string) (sum string, size int64, rerr error) {
	f, err := os.Open(file)
	if err != nil {
		return "", 0, err
	}
	defer func() { rerr = errors.Join(rerr, f.Close()) }()
	h := sha256.New()
	n, err, _ := copyBoth(ctx, h, f)
	return hex.EncodeToString(h.Sum(nil)), n, err
}

// parseFooter returns the last line of a manifest whose end is given.
func parseFooter(tail []byte) (f Footer, err error) {
	line, ok := bytes.CutSuffix(tail, []byte("\n"))
	if !ok {
		return f, fmt.Errorf("%w: manifest is not complete", ErrDamaged)
	}
	if i := bytes.LastIndexByte(line, '\n'); i >= 0 {
		line = line[i+1:]
	}
	if err := json.Unmarshal(line, &f); err != nil || !f.End {
		return f, fmt.Errorf("%w: manifest is not complete", ErrDamaged)
	}
	return f, nil
}

// verifyReader returns an error at the end of a file that is not what was kept.
type verifyReader struct {
	r    io.ReadCloser
	e    Entry
	hash hash.Hash
	n    int64
}

func newVerifyReader(r io.ReadCloser, e Entry) io.ReadCloser {
	return &verifyReader{r: r, e: e, hash: sha256.New()}
}

func (v *verifyReader) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	_, _ = v.hash.Write(p[:n])
	v.n += int64(n)
	if v.n > v.e.Size {
		return n, fmt.Errorf("%w: %s has more than %d octets", ErrDamaged, v.e.Path, v.e.Size)
	}
	if errors.Is(err, io.EOF) {
		switch {
		case v.n < v.e.Size:
			return n, fmt.Errorf("%w: %s has %d octets, not %d", ErrDamaged, v.e.Path, v.n, v.e.Size)
		case hex.EncodeToString(v.hash.Sum(nil)) != v.e.SHA256:
			return n, fmt.Errorf("%w: content of %s is not what was kept", ErrDamaged, v.e.Path)
		}
	}
	return n, err
}

func (v *verifyReader) Close() error { return v.r.Close() }
