package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"mox/imap"
	"mox/store"
)

// boxState is what is noted of a mailbox that is copied.
type boxState struct {
	Name        string `json:"name"` // There.
	MailboxID   int64  `json:"mailboxid"`
	UIDValidity uint32 `json:"uidvalidity"`
	ModSeq      uint64 `json:"modseq"` // All changes up to there were taken. Zero if it was not copied completely.
}

// known is a message that was copied.
type known struct {
	remote, local uint32 // UIDs.
	flags         string // As they were there the last time, by name, with spaces between.
}

// boxPull is a mailbox that is being copied.
type boxPull struct {
	p     *puller
	b     remoteBox
	note  string // Name of the note with the state. Those of messages begin with it.
	state boxState
	known []known // By UID there.

	missed bool // Not all new messages came: the next run asks for everything.
	dirty  map[uint32]bool
	seen   map[string]string // Flags by themselves, so that equal ones are one string.
}

// pullKey is in front of the names of notes about an account of another server.
func pullKey(o PullOptions) string {
	return "pull/" + shortHash(fmt.Sprintf("%s %s", strings.ToLower(o.Host), o.Login)) + "/"
}

func shortHash(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:8])
}

// open reads what is noted of a mailbox.
func (p *puller) open(ctx context.Context, b remoteBox) (*boxPull, error) {
	x := &boxPull{p: p, b: b, note: p.key + shortHash(b.name), dirty: map[uint32]bool{}, seen: map[string]string{}}
	text, err := p.a.Note(ctx, x.note)
	if err != nil {
		return nil, err
	}
	if text != nil {
		if err := json.Unmarshal(text, &x.state); err != nil {
			return nil, err
		}
	}
	names, err := p.a.Notes(ctx, x.note+"/")
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		text, err := p.a.Note(ctx, n)
		if err != nil {
			return nil, err
		}
		if err := x.decode(text); err != nil {
			return nil, fmt.Errorf("note %s: %w", n, err)
		}
	}
	if _, ok := p.a.Tree().ByID(x.state.MailboxID); ok {
		return x, nil
	}
	// It is new, or ours was deleted: all is copied.
	x.forget()
	x.state = boxState{Name: b.name}
	x.state.MailboxID, err = p.target(ctx, b)
	return x, err
}

// forget drops all messages from what is known.
func (x *boxPull) forget() {
	for _, k := range x.known {
		x.dirty[k.remote/pullBlock] = true
	}
	x.known, x.state.ModSeq = nil, 0
}

func (x *boxPull) decode(b []byte) error {
	var remote uint64
	for len(b) > 0 {
		var v [3]uint64
		for i := range v {
			n := 0
			if v[i], n = binary.Uvarint(b); n <= 0 {
				return errors.New("damaged")
			}
			b = b[n:]
		}
		if v[2] > uint64(len(b)) {
			return errors.New("damaged")
		}
		remote += v[0]
		x.known = append(x.known, known{uint32(remote), uint32(v[1]), x.intern(string(b[:v[2]]))})
		b = b[v[2]:]
	}
	return nil
}

func (x *boxPull) intern(s string) string {
	if have, ok := x.seen[s]; ok {
		return have
	}
	x.seen[s] = s
	return s
}

// save writes what has changed.
func (x *boxPull) save(tx *store.Tx) error {
	for block := range x.dirty {
		first, _ := x.find(block * pullBlock)
		last := len(x.known)
		if next := uint64(block+1) * pullBlock; next <= math.MaxUint32 {
			last, _ = x.find(uint32(next))
		}
		var b []byte
		var before uint32
		for _, k := range x.known[first:last] {
			b = binary.AppendUvarint(b, uint64(k.remote-before))
			b = binary.AppendUvarint(b, uint64(k.local))
			b = binary.AppendUvarint(b, uint64(len(k.flags)))
			b = append(b, k.flags...)
			before = k.remote
		}
		if err := tx.SetNote(fmt.Sprintf("%s/%08x", x.note, block), b); err != nil {
			return err
		}
	}
	b, err := json.Marshal(x.state)
	if err != nil {
		return err
	}
	return tx.SetNote(x.note, b)
}

// find returns where a UID of the other server is, or would be.
func (x *boxPull) find(uid uint32) (int, bool) {
	return slices.BinarySearchFunc(x.known, uid, func(k known, uid uint32) int {
		switch {
		case k.remote < uid:
			return -1
		case k.remote > uid:
			return 1
		}
		return 0
	})
}

// set notes a message.
func (x *boxPull) set(k known) {
	k.flags = x.intern(k.flags)
	i, ok := x.find(k.remote)
	if ok {
		x.known[i] = k
	} else {
		x.known = slices.Insert(x.known, i, k)
	}
	x.dirty[k.remote/pullBlock] = true
}

// update commits a change together with the notes of it. Change changes what is known here
// only with its result, which is called when the messages were changed.
func (x *boxPull) update(ctx context.Context, change func(tx *store.Tx) error) error {
	err := x.p.a.Update(ctx, func(tx *store.Tx) error {
		if err := change(tx); err != nil {
			return err
		}
		return x.save(tx)
	})
	if err == nil {
		clear(x.dirty)
	}
	return final(err)
}

// gone removes what was copied from mailboxes that are not there any more.
func (p *puller) gone(ctx context.Context) error {
	names, err := p.a.Notes(ctx, p.key)
	if err != nil {
		return err
	}
	for _, n := range names {
		if strings.Contains(strings.TrimPrefix(n, p.key), "/") {
			continue
		}
		text, err := p.a.Note(ctx, n)
		if err != nil {
			return err
		}
		var st boxState
		if err := json.Unmarshal(text, &st); err != nil {
			return err
		}
		if p.opts.Keep || p.there[st.Name] {
			continue
		}
		x, err := p.open(ctx, remoteBox{name: st.Name, local: cleanName(st.Name)})
		if err != nil {
			return err
		}
		p.say("%s is not there any more, %d messages are removed", st.Name, len(x.known))
		if err := x.remove(ctx, func(known) bool { return true }); err != nil {
			return err
		}
		notes, err := p.a.Notes(ctx, x.note)
		if err != nil {
			return err
		}
		err = p.a.Update(ctx, func(tx *store.Tx) error {
			for _, n := range notes {
				if err := tx.SetNote(n, nil); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// flagSet returns the flags and keywords for names.
func flagSet(names string) (set imap.FlagSet) {
	for _, n := range strings.Fields(names) {
		addFlag(&set, n)
	}
	return set
}
