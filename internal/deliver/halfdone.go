package deliver

import (
	"crypto/sha256"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// maxHalfDone is how many deliveries are remembered that were stored and could not
	// be forwarded, and halfDoneFor is for how long: as long as senders try again.
	maxHalfDone = 10_000
	halfDoneFor = 5 * 24 * time.Hour
)

// halfDone remembers deliveries that were stored and then could not be forwarded, so that
// the message can come again without making a second copy. Only a restart in between
// makes one. It is safe for concurrent use.
type halfDone struct {
	mu    sync.Mutex // Guards what follows.
	until map[halfKey]time.Time
	order []halfKey // Oldest first. May have keys that were forgotten.
}

// halfKey is a hash of sender, recipient and message.
type halfKey [sha256.Size]byte

func newHalfDone() *halfDone { return &halfDone{until: map[halfKey]time.Time{}} }

func halfDoneKey(del Delivery) (halfKey, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00%s\x00", del.MailFrom, del.Rcpt, del.DeliveredTo)
	if _, err := io.Copy(h, del.Spool.Reader()); err != nil {
		return halfKey{}, fmt.Errorf("read message: %w", err)
	}
	return halfKey(h.Sum(nil)), nil
}

// take reports whether a delivery was stored before, and forgets it. The message is only
// read if there is any such delivery, which is hardly ever.
func (d *halfDone) take(del Delivery, now time.Time) (bool, error) {
	d.mu.Lock()
	empty := len(d.until) == 0
	d.mu.Unlock()
	if empty {
		return false, nil
	}
	k, err := halfDoneKey(del)
	if err != nil {
		return false, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	until, ok := d.until[k]
	delete(d.until, k)
	return ok && now.Before(until), nil
}

// add remembers a delivery that was stored.
func (d *halfDone) add(del Delivery, now time.Time) error {
	k, err := halfDoneKey(del)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.until[k]; !ok {
		d.order = append(d.order, k)
	}
	d.until[k] = now.Add(halfDoneFor)
	for len(d.order) > maxHalfDone {
		delete(d.until, d.order[0])
		d.order = d.order[1:]
	}
	return nil
}
