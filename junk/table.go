package junk

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// An entry is what is known of a word.
type entry struct {
	ham, spam uint32  // Lessons it was in.
	weight    float32 // Of the logistic part, see score.go.
	seen      uint32  // Number of the last lesson it was in.
}

// zero says whether nothing is known.
func (e entry) zero() bool { return e.ham == 0 && e.spam == 0 }

// State is what is known besides the words.
type state struct {
	Ham, Spam uint32  // Lessons, less those taken back.
	Lessons   uint32  // All of them, which only grows.
	Words     uint32  // Entries in the table.
	Row       int64   // The last row of the journal that was taken.
	Bias      float64 // Of the logistic part.
	Cut       float64 // The score from which on a message is junk.
}

var (
	bucketWords = []byte("words")
	bucketMeta  = []byte("meta")
	keyState    = []byte("state")
)

// version is that of the file: of its format, of the hash of tokens, and of the tokens
// where a change to them makes old counts useless.
const version = 1

// table is the file with the words. Its methods are called with the lock of the filter.
type table struct {
	db    *bolt.DB
	cache map[uint64]entry // With words that are not in the file, which are zero.
	limit int              // Of the cache.
	gets  int              // Words that were looked up in the file, for tests.
}

// openTable opens or creates the file.
func openTable(path string, limit int) (t *table, st state, rerr error) {
	defer noteDamage(&rerr)()
	db, err := bolt.Open(path, 0600, &bolt.Options{Timeout: openTimeout, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, state{}, err
	}
	t = &table{db: db, limit: limit, cache: map[uint64]entry{}}
	st = state{Cut: startCut}
	defer func() {
		if x := recover(); x != nil { // Of a damaged file, and with a lock on it.
			_ = db.Close()
			panic(x)
		}
	}()
	err = db.Update(func(tx *bolt.Tx) error {
		if _, err := tx.CreateBucketIfNotExists(bucketWords); err != nil {
			return err
		}
		meta, err := tx.CreateBucketIfNotExists(bucketMeta)
		if err != nil {
			return err
		}
		if b := meta.Get(keyState); b != nil {
			return st.unmarshal(b)
		}
		return meta.Put(keyState, st.marshal())
	})
	if err != nil {
		return nil, state{}, errors.Join(err, db.Close())
	}
	return t, st, nil
}

// get fills in the entries of tokens, in the same order, from the cache and for what it
// does not have from the file.
func (t *table) get(ctx context.Context, keys []uint64, out []entry) (rerr error) {
	defer noteDamage(&rerr)()
	var missing []int
	for i, k := range keys {
		e, ok := t.cache[k]
		if !ok {
			missing = append(missing, i)
		}
		out[i] = e
	}
	if len(missing) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	t.shrink(len(missing))
	t.gets += len(missing)
	return t.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketWords)
		var key [8]byte
		for _, i := range missing {
			binary.BigEndian.PutUint64(key[:], keys[i])
			var e entry
			if v := b.Get(key[:]); v != nil {
				if err := e.unmarshal(v); err != nil {
					return err
				}
			}
			out[i] = e
			t.cache[keys[i]] = e
		}
		return nil
	})
}

// shrink makes room in the cache. What goes is a matter of chance, which no sender can
// plan for, and costs no order to be kept.
func (t *table) shrink(room int) {
	if len(t.cache)+room <= t.limit {
		return
	}
	for k := range t.cache {
		if len(t.cache)+room <= t.limit/2 {
			break
		}
		delete(t.cache, k)
	}
}

// commit writes changed entries and the state in one transaction, which is on disk when
// it returns. After an error nothing of it is in the file, nor in the cache.
func (t *table) commit(changed map[uint64]entry, st *state, maxWords int) (rerr error) {
	defer noteDamage(&rerr)()
	keys := make([]uint64, 0, len(changed))
	for k := range changed {
		keys = append(keys, k)
	}
	slices.Sort(keys) // So that pages are touched once.
	err := t.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketWords)
		for _, k := range keys {
			if err := put(b, k, changed[k], st); err != nil {
				return err
			}
		}
		if int(st.Words) > maxWords {
			if err := age(b, st, maxWords); err != nil {
				return err
			}
			clear(t.cache)
			clear(changed)
		}
		return tx.Bucket(bucketMeta).Put(keyState, st.marshal())
	})
	if err != nil {
		clear(t.cache)
		return fmt.Errorf("write %s: %w", t.db.Path(), err)
	}
	t.shrink(len(changed))
	for k, e := range changed {
		if len(t.cache) >= t.limit {
			break
		}
		t.cache[k] = e
	}
	return nil
}

// put writes an entry, or removes one about which nothing is known any more.
func put(b *bolt.Bucket, k uint64, e entry, st *state) error {
	key := binary.BigEndian.AppendUint64(nil, k)
	had := b.Get(key) != nil
	if e.zero() {
		if had {
			st.Words--
		}
		return b.Delete(key)
	}
	if !had {
		st.Words++
	}
	return b.Put(key, e.marshal())
}

// age removes words until the table is at most nine tenths full: those that came
// seldom, and not for long. A word lasts as if each time it came had been ageLessons
// later.
func age(b *bolt.Bucket, st *state, maxWords int) error {
	worth := func(e entry) uint64 { return uint64(e.seen) + ageLessons*uint64(e.ham+e.spam) }
	all := make([]uint64, 0, st.Words)
	err := b.ForEach(func(_, v []byte) error {
		var e entry
		err := e.unmarshal(v)
		all = append(all, worth(e))
		return err
	})
	if err != nil {
		return err
	}
	keep := maxWords * 9 / 10
	slices.Sort(all)
	drop := len(all) - keep
	if drop <= 0 {
		st.Words = uint32(len(all))
		return nil
	}
	limit := all[drop-1]
	var gone [][]byte
	err = b.ForEach(func(k, v []byte) error {
		var e entry
		if err := e.unmarshal(v); err != nil {
			return err
		}
		if worth(e) <= limit && len(gone) < drop {
			gone = append(gone, slices.Clone(k))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range gone {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	st.Words = uint32(len(all) - len(gone))
	return nil
}

// errCorrupt says that the file holds what was never written to it.
var errCorrupt = errors.New("junk filter file is corrupt")

func (e entry) marshal() []byte {
	b := make([]byte, 0, 16)
	b = binary.AppendUvarint(b, uint64(e.ham))
	b = binary.AppendUvarint(b, uint64(e.spam))
	b = binary.AppendUvarint(b, uint64(e.seen))
	return binary.LittleEndian.AppendUint32(b, math.Float32bits(e.weight))
}

func (e *entry) unmarshal(b []byte) error {
	for _, p := range []*uint32{&e.ham, &e.spam, &e.seen} {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > math.MaxUint32 {
			return errCorrupt
		}
		*p, b = uint32(v), b[n:]
	}
	if len(b) != 4 {
		return errCorrupt
	}
	e.weight = math.Float32frombits(binary.LittleEndian.Uint32(b))
	return nil
}

func (s state) marshal() []byte {
	b := []byte{version}
	for _, v := range []uint32{s.Ham, s.Spam, s.Lessons, s.Words} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(s.Row))
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(s.Bias))
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(s.Cut))
}

func (s *state) unmarshal(b []byte) error {
	if len(b) > 0 && b[0] != version {
		return fmt.Errorf("%w: %d", ErrVersion, b[0])
	}
	if len(b) != 1+4*4+3*8 {
		return errCorrupt
	}
	b = b[1:]
	for _, p := range []*uint32{&s.Ham, &s.Spam, &s.Lessons, &s.Words} {
		*p, b = binary.LittleEndian.Uint32(b), b[4:]
	}
	s.Row = int64(binary.LittleEndian.Uint64(b))
	s.Bias = math.Float64frombits(binary.LittleEndian.Uint64(b[8:]))
	s.Cut = math.Float64frombits(binary.LittleEndian.Uint64(b[16:]))
	return nil
}
