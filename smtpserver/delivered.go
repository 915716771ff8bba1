package smtpserver

import (
	"crypto/sha256"
	"fmt"
	"io"
	"sync"
	"time"

	"mox/smtp"
)

// delivered remembers who has got a message whose other recipients failed, so that
// the client can try again without making copies. It is safe for concurrent use.
type delivered struct {
	mu    sync.Mutex // Guards what follows.
	until map[deliveryKey]time.Time
	order []deliveryKey // Oldest first. May have keys that were forgotten.
}

// deliveryKey is a hash of sender, recipient and message.
type deliveryKey [sha256.Size]byte

func newDelivered() *delivered {
	return &delivered{until: map[deliveryKey]time.Time{}}
}

// messageID identifies a message of a sender by its content, as a client sends it
// again. The content is only read when it is needed, which is hardly ever.
type messageID struct {
	sender smtp.Path
	m      *incoming
	sum    []byte
}

// key returns the key for a recipient.
func (id *messageID) key(rcpt smtp.Path) (deliveryKey, error) {
	return id.keyFor(rcpt.String())
}

// memberKey returns the key for a member of an alias.
func (id *messageID) memberKey(alias, member smtp.Address) (deliveryKey, error) {
	return id.keyFor(alias.String() + "\x00" + member.String())
}

func (id *messageID) keyFor(rcpt string) (deliveryKey, error) {
	if id.sum == nil {
		h := sha256.New()
		if _, err := io.Copy(h, id.m.spool.Reader()); err != nil {
			return deliveryKey{}, fmt.Errorf("read message: %w", err)
		}
		id.sum = h.Sum(nil)
	}
	return sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%x", id.sender, rcpt, id.sum)), nil
}

func (d *delivered) empty() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.until) == 0
}

// mark marks the recipients that have got the message before.
func (d *delivered) mark(id *messageID, outcomes []outcome) error {
	if d.empty() {
		return nil
	}
	for i := range outcomes {
		k, err := id.key(outcomes[i].rcpt.path)
		if err != nil {
			return err
		}
		outcomes[i].had = d.has(k, id.m.time)
	}
	return nil
}

func (d *delivered) has(k deliveryKey, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	until, ok := d.until[k]
	return ok && now.Before(until)
}

// remember adds recipients that got the message.
func (d *delivered) remember(id *messageID, done []outcome) error {
	for _, o := range done {
		k, err := id.key(o.rcpt.path)
		if err != nil {
			return err
		}
		d.add(k, id.m.time.Add(deliveredFor))
	}
	return nil
}

func (d *delivered) add(k deliveryKey, until time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.until[k]; !ok {
		d.order = append(d.order, k)
	}
	d.until[k] = until
	for len(d.order) > maxDelivered {
		delete(d.until, d.order[0])
		d.order = d.order[1:]
	}
}

// forget removes recipients after all of the message has been taken care of.
func (d *delivered) forget(id *messageID, done []outcome) {
	if d.empty() {
		return
	}
	for _, o := range done {
		if k, err := id.key(o.rcpt.path); err == nil {
			d.mu.Lock()
			delete(d.until, k)
			d.mu.Unlock()
		}
	}
}
