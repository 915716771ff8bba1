package fts

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

const (
	// version is that of the format of the file, and of how texts are made: an index of
	// another one is made anew.
	version = 1
	// MaxText is how many octets of text are kept of a message. Longer ones are skipped.
	MaxText = 2 << 20
	// MaxBatchText is how many octets of text a batch has at most, beyond its last message.
	MaxBatchText = 4 << 20
	// MaxBatchMessages is how many messages a batch has at most.
	MaxBatchMessages = 1000
	// blockText is how many octets of text a block has, unless one message has more.
	blockText = 64 << 10
	// maxBlockText is the most that a block can have.
	maxBlockText = blockText + MaxText
	// listBlock is how many octets of postings go together, unless one list has more.
	listBlock = 2 << 10
	// commitSize is how many octets a merge writes in one commit.
	commitSize = 4 << 20
	// mergeRun is how many segments of about the same size are merged: within a factor of
	// as many.
	mergeRun = 4
	// maxTrigrams is how many trigrams of a pattern are looked up.
	maxTrigrams = 32
	// maxCandidates is how many candidates a search keeps, of all its patterns together. A
	// pattern with more is looked for in all texts.
	maxCandidates = 1 << 18
	// openTimeout bounds the wait for the lock on the file.
	openTimeout = 5 * time.Second
)

var (
	// ErrDamaged: the file is not that of an index, or of another version, or parts of it
	// are not what was written. It can be removed, and made again from the messages.
	ErrDamaged = errors.New("text index is damaged")
	// ErrWrite: a commit failed. The index should be closed and opened again.
	ErrWrite = errors.New("writing text index")
	// ErrClosed: the index is closed.
	ErrClosed = errors.New("text index is closed")
)

var (
	bucketMeta     = []byte("meta")     // "state": state.
	bucketSegments = []byte("segments") // Number of the segment: segment.
	bucketLists    = []byte("lists")    // Number of the segment, first trigram: postings of some trigrams.
	bucketTexts    = []byte("texts")    // First content id: block of texts.
	bucketSkipped  = []byte("skipped")  // Content id: nothing.
	keyState       = []byte("state")
)

// Index is an open index. Close it when it is not used any more.
type Index struct {
	db  *bolt.DB
	enc *zstd.Encoder
	dec *zstd.Decoder

	write sync.Mutex // Held by the one writer.

	mu    sync.Mutex // Guards what follows.
	state state
}

// state is what is known besides messages.
type state struct {
	mark     int64  // All contents with ids below it are in the index, or skipped.
	messages int64  // With a text.
	text     int64  // Octets of texts, before compression.
	packed   int64  // Octets of blocks.
	next     uint32 // Number of the next segment.
}

func (s *state) marshal() []byte {
	b := binary.AppendUvarint(nil, version)
	for _, v := range []int64{s.mark, s.messages, s.text, s.packed, int64(s.next)} {
		b = binary.AppendUvarint(b, uint64(v))
	}
	return b
}

func (s *state) unmarshal(b []byte) error {
	r := reader{b: b}
	if v := r.number(); r.bad || v != version {
		return fmt.Errorf("%w: version %d instead of %d", ErrDamaged, v, version)
	}
	*s = state{mark: r.number(), messages: r.number(), text: r.number(), packed: r.number(), next: uint32(r.number())}
	return r.end("state")
}

// Stats is about the contents of an index.
type Stats struct {
	Mark     int64 // All contents with ids below it are in the index, or skipped.
	Messages int64 // That have a text.
	Text     int64 // Octets of texts.
	Packed   int64 // Octets of texts, as they are kept.
	Size     int64 // Of the file, in octets.
}

// Open opens the index in a file, and makes it if there is none. The error matches
// ErrDamaged if the file cannot be used, and then it was not changed.
func Open(path string) (x *Index, rerr error) {
	defer noteDamage(&rerr)()
	db, err := bolt.Open(path, 0600, &bolt.Options{Timeout: openTimeout, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, openError(err)
	}
	x = &Index{db: db}
	defer func() {
		if p := recover(); p != nil { // Of a damaged file, and with a lock on it.
			_ = db.Close()
			panic(p)
		}
	}()
	err = x.init()
	if err == nil {
		x.enc, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(true))
	}
	if err == nil {
		x.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithDecoderMaxMemory(maxBlockText+64<<10), zstd.WithDecoderLowmem(true))
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return x, nil
}

// init makes what a new file must have, and reads the state.
func (x *Index) init() error {
	return x.db.Update(func(tx *bolt.Tx) error {
		meta, err := tx.CreateBucketIfNotExists(bucketMeta)
		if err != nil {
			return err
		}
		b := meta.Get(keyState)
		if b != nil {
			return x.state.unmarshal(b)
		}
		for _, name := range [][]byte{bucketSegments, bucketLists, bucketTexts, bucketSkipped} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		x.state = state{mark: 1, next: 1}
		return meta.Put(keyState, x.state.marshal())
	})
}

// Close closes the index, after calls in progress.
func (x *Index) Close() error {
	x.write.Lock()
	defer x.write.Unlock()
	err := errors.Join(x.db.Close(), x.enc.Close())
	x.dec.Close()
	return err
}

// Mark returns the content id below which all is indexed.
func (x *Index) Mark() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.state.mark
}

// Stats returns what the index has.
func (x *Index) Stats() (Stats, error) {
	info, err := os.Stat(x.db.Path())
	if err != nil {
		return Stats{}, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.state
	return Stats{Mark: s.mark, Messages: s.messages, Text: s.text, Packed: s.packed, Size: info.Size()}, nil
}

// view reads in one transaction.
func (x *Index) view(fn func(tx *bolt.Tx) error) (err error) {
	defer noteDamage(&err)()
	return x.db.View(fn)
}

// update changes the index in one commit, which also writes the state as fn leaves it.
// The caller holds write.
func (x *Index) update(ctx context.Context, fn func(tx *bolt.Tx, st *state) error) (err error) {
	defer noteDamage(&err)()
	if err := ctx.Err(); err != nil {
		return err
	}
	x.mu.Lock()
	st := x.state
	x.mu.Unlock()
	var inside error
	err = x.db.Update(func(tx *bolt.Tx) error {
		if inside = fn(tx, &st); inside != nil {
			return inside
		}
		return tx.Bucket(bucketMeta).Put(keyState, st.marshal())
	})
	if err != nil && inside == nil && !errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		err = fmt.Errorf("%w: %w", ErrWrite, err)
	}
	if err == nil {
		x.mu.Lock()
		x.state = st
		x.mu.Unlock()
	}
	return err
}

// idKey returns the key of a content id.
func idKey(id int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

// keyID returns the content id of a key.
func keyID(k []byte) (int64, error) {
	if len(k) != 8 {
		return 0, fmt.Errorf("%w: key of %d octets", ErrDamaged, len(k))
	}
	return int64(binary.BigEndian.Uint64(k)), nil
}
