package arc

import (
	"crypto/sha256"
	"fmt"
	"hash"

	"mox/dkim"
)

// chainHash makes the hashes that seals sign: those of a set are over all earlier
// sets too, RFC 8617 §5.1.1. It hashes each field once.
type chainHash struct {
	h hash.Hash
	w *dkim.HeaderWriter
}

func newChainHash() *chainHash {
	h := sha256.New()
	return &chainHash{h, dkim.NewHeaderWriter(h, dkim.Relaxed)}
}

// add adds a whole field.
func (c *chainHash) add(raw []byte) {
	// A hash never returns an error, so these do not.
	_, _ = c.w.Write(raw)
	_ = c.w.End(true)
	_ = c.w.Flush()
}

// sum returns the hash of all so far and a seal without its signature. What was
// added stays as it is.
func (c *chainHash) sum(own []byte) ([]byte, error) {
	cloner, ok := c.h.(hash.Cloner)
	if !ok {
		return nil, fmt.Errorf("hash of type %T cannot be cloned", c.h)
	}
	h, err := cloner.Clone()
	if err != nil {
		return nil, fmt.Errorf("clone hash: %w", err)
	}
	w := dkim.NewHeaderWriter(h, dkim.Relaxed)
	_, _ = w.Write(own)
	_ = w.End(false)
	_ = w.Flush()
	return h.Sum(nil), nil
}
