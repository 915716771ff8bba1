package sasl

import (
	"context"
	"crypto/rand"
	"fmt"
)

// DefaultConcurrentChecks is how many passwords a PasswordChecker checks at the
// same time if nothing else is asked for. Together they use 8 x 19 MiB.
const DefaultConcurrentChecks = 8

// PasswordCheckerOptions are for NewPasswordChecker.
type PasswordCheckerOptions struct {
	// Concurrent is the number of checks at the same time, zero means
	// DefaultConcurrentChecks. More than the number of processors only costs memory.
	Concurrent int
}

// PasswordChecker checks passwords against stored hashes, a limited number at a
// time: each takes much memory on purpose, and anyone can ask for one.
type PasswordChecker struct {
	slots chan struct{}
	dummy string
}

// NewPasswordChecker returns a checker. A process is to have one.
func NewPasswordChecker(opts PasswordCheckerOptions) *PasswordChecker {
	n := opts.Concurrent
	if n <= 0 {
		n = DefaultConcurrentChecks
	}
	// The dummy hash is as costly as a real one and matches no password that anyone
	// can find: its octets are random, so it need not be computed.
	dummy := argonHash{memory: argonMemory, time: argonTime, threads: argonThreads, salt: make([]byte, argonSalt), key: make([]byte, argonKey)}
	rand.Read(dummy.salt)
	rand.Read(dummy.key)
	return &PasswordChecker{slots: make(chan struct{}, n), dummy: dummy.String()}
}

// Check reports whether a password matches a hash made by HashPassword. An empty
// hash is for users that do not exist or have no password: it takes the same time
// and never matches. It waits for a free slot until ctx is done; once started, a
// check is not interrupted. Rehash asks the caller to store a new hash of this
// password, and is only set on a match.
//
// Errors are those of ctx, and ErrHash.
func (c *PasswordChecker) Check(ctx context.Context, hash, password string) (match, rehash bool, err error) {
	if err := c.acquire(ctx); err != nil {
		return false, false, err
	}
	defer c.release()
	known := hash != ""
	if !known {
		hash = c.dummy
	}
	match, err = VerifyPassword(hash, password)
	match = match && known
	return match, match && NeedsRehash(hash), err
}

// Hash is HashPassword within the same limit.
func (c *PasswordChecker) Hash(ctx context.Context, password string) (string, error) {
	if err := c.acquire(ctx); err != nil {
		return "", err
	}
	defer c.release()
	return HashPassword(password), nil
}

func (c *PasswordChecker) acquire(ctx context.Context) error {
	// A select would take either of two ready cases.
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("waiting to check a password: %w", err)
	}
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting to check a password: %w", ctx.Err())
	}
}

func (c *PasswordChecker) release() {
	<-c.slots
}
