package transport

import (
	"container/list"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"mox/dns"
)

// TLSMemory knows which hosts did TLS before: they must do so again, for otherwise
// someone in between could make us send in the clear. It is about hosts for which
// there is no policy.
type TLSMemory interface {
	DidTLS(ctx context.Context, host dns.Domain) bool

	// SetTLS remembers that a host did TLS now.
	SetTLS(ctx context.Context, host dns.Domain)
}

// AddressMemory knows which addresses of a host were used for a message in earlier
// attempts, so that the next one can use another, or the same.
type AddressMemory interface {
	// Dialed returns the addresses, the latest last.
	Dialed(ctx context.Context, contentID int64, host string) []netip.Addr

	// SetDialed adds an address.
	SetDialed(ctx context.Context, contentID int64, host string, ip netip.Addr)
}

// memory keeps values for a bounded number of keys: those that were set last.
type memory[K comparable, V any] struct {
	mu    sync.Mutex
	max   int
	byKey map[K]*list.Element
	order list.List // Of entry[K, V], the latest first.
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

func newMemory[K comparable, V any](max int) *memory[K, V] {
	return &memory[K, V]{max: max, byKey: map[K]*list.Element{}}
}

// update sets the value of a key to what edit returns, given the present one.
func (m *memory[K, V]) update(key K, edit func(V) V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.byKey[key]; ok {
		e.Value = entry[K, V]{key, edit(e.Value.(entry[K, V]).value)}
		m.order.MoveToFront(e)
		return
	}
	var zero V
	m.byKey[key] = m.order.PushFront(entry[K, V]{key, edit(zero)})
	if m.order.Len() > m.max {
		last := m.order.Back()
		delete(m.byKey, m.order.Remove(last).(entry[K, V]).key)
	}
}

// get returns the value of a key, zero if there is none.
func (m *memory[K, V]) get(key K) V {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.byKey[key]
	if !ok {
		var zero V
		return zero
	}
	return e.Value.(entry[K, V]).value
}

// tlsMemory is a TLSMemory that does not outlive the process.
type tlsMemory struct {
	hosts *memory[dns.Domain, time.Time]
}

// NewTLSMemory returns a memory of hosts that does not outlive the process. It keeps
// the hosts that were used last, for 30 days.
func NewTLSMemory() TLSMemory {
	return tlsMemory{newMemory[dns.Domain, time.Time](maxRemembered)}
}

// DidTLS implements TLSMemory.
func (m tlsMemory) DidTLS(_ context.Context, host dns.Domain) bool {
	at := m.hosts.get(host)
	return !at.IsZero() && time.Since(at) < rememberTLS
}

// SetTLS implements TLSMemory.
func (m tlsMemory) SetTLS(_ context.Context, host dns.Domain) {
	m.hosts.update(host, func(time.Time) time.Time { return time.Now() })
}

// addressMemory is an AddressMemory that does not outlive the process.
type addressMemory struct {
	dialed *memory[dialedKey, []netip.Addr]
}

type dialedKey struct {
	contentID int64
	host      string
}

// NewAddressMemory returns a memory of addresses that does not outlive the process.
// All that is lost with it is a good order in which to try them.
func NewAddressMemory() AddressMemory {
	return addressMemory{newMemory[dialedKey, []netip.Addr](maxRemembered)}
}

// Dialed implements AddressMemory.
func (m addressMemory) Dialed(_ context.Context, contentID int64, host string) []netip.Addr {
	return m.dialed.get(dialedKey{contentID, host})
}

// SetDialed implements AddressMemory.
func (m addressMemory) SetDialed(_ context.Context, contentID int64, host string, ip netip.Addr) {
	m.dialed.update(dialedKey{contentID, host}, func(l []netip.Addr) []netip.Addr {
		if len(l) >= maxDialed {
			l = l[len(l)-maxDialed+1:]
		}
		return append(slices.Clone(l), ip) // What was handed out stays as it is.
	})
}
