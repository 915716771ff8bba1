package mlog

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
)

// CidKey is the key of the connection id in a line. Its value is in hexadecimal.
const CidKey = "cid"

// A CidSource gives out connection ids. The zero value starts at 1; a server
// starts it at a value that grows over restarts, so that ids stay unique in the
// logs.
type CidSource struct {
	n atomic.Int64
}

// NewCidSource returns a source whose first id is first+1.
func NewCidSource(first int64) *CidSource {
	s := &CidSource{}
	s.n.Store(first)
	return s
}

// Next returns the next id.
func (s *CidSource) Next() int64 {
	return s.n.Add(1)
}

type cidContextKey struct{}

// WithCid returns a context that carries a connection id.
func WithCid(ctx context.Context, cid int64) context.Context {
	return context.WithValue(ctx, cidContextKey{}, cid)
}

// Cid returns the connection id of a context, or 0 if it has none.
func Cid(ctx context.Context) int64 {
	if ctx == nil {
		return 0
	}
	cid, _ := ctx.Value(cidContextKey{}).(int64)
	return cid
}

// WithCidLogger returns a logger that adds a connection id to each line.
func WithCidLogger(log *slog.Logger, cid int64) *slog.Logger {
	return log.With(CidAttr(cid))
}

// CidAttr returns the attribute for a connection id.
func CidAttr(cid int64) slog.Attr {
	return slog.String(CidKey, formatCid(cid))
}

func formatCid(cid int64) string {
	return strconv.FormatInt(cid, 16)
}

// CidKeySize is the size of the key of a [CidCipher] in bytes.
const CidKeySize = 16

// ErrCid means that a text is not an id that the cipher with this key made.
var ErrCid = errors.New("mlog: not an encrypted connection id of this server")

// A CidCipher turns connection ids into texts for remote parties, in which only
// the operator can see which connection they belong to, and nobody else how many
// connections there are. A text is base64url without padding of one AES-128
// block: eight bytes that are the same for all ids of a cipher, and the id.
type CidCipher struct {
	block  cipher.Block
	prefix [8]byte
}

// NewCidCipher returns a cipher for a key of 24 bytes, of which the first 16 are
// the AES key and the last 8 the fixed random bytes; or of 16 bytes, in which case
// the fixed bytes are derived from the key.
func NewCidCipher(key []byte) (*CidCipher, error) {
	if len(key) != CidKeySize && len(key) != CidKeySize+8 {
		return nil, fmt.Errorf("mlog: key for connection ids has %d bytes instead of %d or %d", len(key), CidKeySize, CidKeySize+8)
	}
	block, err := aes.NewCipher(key[:CidKeySize])
	if err != nil {
		return nil, fmt.Errorf("mlog: key for connection ids: %w", err)
	}
	c := &CidCipher{block: block}
	if len(key) > CidKeySize {
		copy(c.prefix[:], key[CidKeySize:])
		return c, nil
	}
	var in, out [aes.BlockSize]byte
	copy(in[:], "mox cid prefix")
	block.Encrypt(out[:], in[:])
	copy(c.prefix[:], out[:])
	return c, nil
}

// NewCidKey returns a random key for [NewCidCipher].
func NewCidKey() []byte {
	key := make([]byte, CidKeySize+8)
	rand.Read(key) // Never fails.
	return key
}

// Encode returns the text for an id: 22 characters of base64url.
func (c *CidCipher) Encode(cid int64) string {
	var buf [aes.BlockSize]byte
	copy(buf[:], c.prefix[:])
	binary.BigEndian.PutUint64(buf[8:], uint64(cid))
	c.block.Encrypt(buf[:], buf[:])
	return base64.RawURLEncoding.EncodeToString(buf[:])
}

// Decode returns the id of a text that Encode returned. Others give [ErrCid].
func (c *CidCipher) Decode(s string) (int64, error) {
	if len(s) != base64.RawURLEncoding.EncodedLen(aes.BlockSize) {
		return 0, ErrCid // The decoder would skip line endings.
	}
	buf, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(buf) != aes.BlockSize {
		return 0, ErrCid
	}
	c.block.Decrypt(buf, buf)
	if [8]byte(buf[:8]) != c.prefix {
		return 0, ErrCid
	}
	return int64(binary.BigEndian.Uint64(buf[8:])), nil
}
