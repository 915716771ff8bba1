package dkim

import (
	"crypto"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"mox/dns"
)

// Errors of [Sign], to be matched with errors.Is.
var (
	// ErrFrom means that a message does not have exactly one From field.
	ErrFrom = errors.New("dkim: message does not have exactly one From field")
	// ErrContinuation means that a message begins with white space, so that its first
	// line would belong to a field that is put in front.
	ErrContinuation = errors.New("dkim: message begins with white space")
	// ErrSelector means that a selector cannot be signed with.
	ErrSelector = errors.New("dkim: bad selector")
)

// A Selector says with which key a signature is made, and how.
type Selector struct {
	Name dns.Domain    // As from [ParseSelector].
	Key  crypto.Signer // For an *rsa.PublicKey of at least [MinRSABits], or an ed25519.PublicKey.

	// HeaderCanon and BodyCanon are empty for [Relaxed], which survives more relays.
	HeaderCanon, BodyCanon Canonicalization

	// Headers are the names of header fields to sign, with From. All fields of these
	// names are signed. Nil stands for [DefaultHeaders], and for those of
	// [DefaultUnsealed] that the message has.
	Headers []string

	// DontSeal leaves out what makes a signature fail if a field is added with one of
	// the names in Headers: naming each once more than it occurs.
	DontSeal bool

	// Expiration is how long a signature is valid, without limit if zero. It is cut
	// to seconds.
	Expiration time.Duration
}

// DefaultHeaders are the header fields that are signed and sealed by default.
//
// They are those that are shown to the reader or steer what a program does with the
// message, as RFC 6376 §5.4 advises, and that nobody adds on the way: authors and
// recipients, what threads are made of, and the MIME fields, with which other
// content could be made of the same body.
func DefaultHeaders() []string {
	return []string{
		"From", "To", "Cc", "Bcc", "Reply-To",
		"References", "In-Reply-To", "Subject", "Date", "Message-ID",
		"MIME-Version", "Content-Type", "Content-Transfer-Encoding",
	}
}

// DefaultUnsealed are the header fields that are signed by default if a message has
// them, and not sealed if it has none or if more are added. Mailing lists and those
// who resend a message add these legitimately (RFC 6376 §5.4.1); List-Unsubscribe
// and List-Unsubscribe-Post must be signed for one-click to work (RFC 8058 §4).
func DefaultUnsealed() []string {
	return []string{
		"Sender", "Content-Disposition", "Content-ID", "Content-Description", "Content-Language",
		"List-Id", "List-Help", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Subscribe", "List-Post", "List-Owner", "List-Archive",
		"Feedback-ID", "Autocrypt",
	}
}

// SignOptions are what a caller of [Sign] can choose. The zero value has good
// defaults.
type SignOptions struct {
	// Now is the time of signing. The zero value stands for the current time.
	Now time.Time

	// Identity is written as tag i=. Nil leaves it out: receivers need no more than
	// the domain, and the localpart of the account is nobody's business. Its domain is
	// the one that signs or below it.
	Identity *Identity

	// UTF8 writes domains with U-labels, for messages with internationalised header
	// fields (RFC 8616 §5).
	UTF8 bool
}

// Sign returns DKIM-Signature fields for a message of size bytes, one for each
// selector in their order, each line with CRLF, to be put in front of the message.
// The signing domain is that of the From address or above it, for DMARC; Sign does
// not require it.
//
// The body is read once, whatever the number of selectors. Nothing is signed if any
// of the selectors is bad. An error matches [ErrFrom], [ErrContinuation],
// [ErrSelector], [ErrKey] or [ErrTooMany], or is one of r or of a key.
func Sign(r io.ReaderAt, size int64, domain dns.Domain, selectors []Selector, opts SignOptions) (string, error) {
	if opts.Now.IsZero() {
		opts.Now = time.Now()
	}
	if opts.Identity != nil && !isBelow(opts.Identity.Domain, domain) {
		return "", fmt.Errorf("dkim: domain %s of the identity is not %s or below it", opts.Identity.Domain, domain)
	}
	x, err := ReadIndex(r, size)
	if err != nil {
		return "", err
	}
	if err := x.CheckPrepend(); err != nil {
		return "", err
	}
	if n := x.Count("from"); n != 1 {
		return "", fmt.Errorf("%w: %d", ErrFrom, n)
	}
	sigs := make([]*Sig, 0, len(selectors))
	var specs []BodySpec
	for _, sel := range selectors {
		s, err := sel.Prepare(x, domain, opts)
		if err != nil {
			return "", fmt.Errorf("selector %s: %w", sel.Name, err)
		}
		sigs = append(sigs, s)
		if !slices.Contains(specs, s.bodySpec()) {
			specs = append(specs, s.bodySpec())
		}
	}
	hashes, err := x.BodyHashes(specs)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for i, s := range sigs {
		sum := hashes[slices.Index(specs, s.bodySpec())].Sum
		s.BodyHash = sum[:]
		h, err := x.SignField(FieldName, "v=1;", s, selectors[i].Key, opts.UTF8)
		if err != nil {
			return "", fmt.Errorf("selector %s: %w", s.Selector, err)
		}
		b.WriteString(h)
	}
	return b.String(), nil
}

// Prepare returns the signature that a selector makes of a message, without body
// hash and signature. It serves package arc; [Sign] does all of it.
func (sel Selector) Prepare(x *Index, domain dns.Domain, opts SignOptions) (*Sig, error) {
	if sel.Name.IsZero() || domain.IsZero() {
		return nil, fmt.Errorf("%w: no name or domain", ErrSelector)
	}
	alg, err := AlgorithmOf(sel.Key)
	if err != nil {
		return nil, err
	}
	s := &Sig{
		Algorithm:   alg,
		HeaderCanon: orRelaxed(sel.HeaderCanon),
		BodyCanon:   orRelaxed(sel.BodyCanon),
		Domain:      domain,
		Selector:    sel.Name,
		Identity:    opts.Identity,
		Length:      -1,
		SignTime:    opts.Now.Unix(),
		ExpireTime:  -1,
	}
	if !s.HeaderCanon.known() || !s.BodyCanon.known() {
		return nil, fmt.Errorf("%w: canonicalization %s/%s", ErrSelector, s.HeaderCanon, s.BodyCanon)
	}
	if sel.Expiration < 0 || sel.Expiration > 0 && sel.Expiration < time.Second {
		return nil, fmt.Errorf("%w: expiration %s", ErrSelector, sel.Expiration)
	}
	if sel.Expiration > 0 {
		s.ExpireTime = s.SignTime + int64(sel.Expiration/time.Second)
	}
	if sel.Headers == nil {
		s.SignedHeaders = x.NamesToSign(DefaultHeaders(), !sel.DontSeal)
		s.SignedHeaders = append(s.SignedHeaders, x.NamesToSign(DefaultUnsealed(), false)...)
	} else {
		for _, name := range sel.Headers {
			if !hdrName.All(name) {
				return nil, fmt.Errorf("%w: name of a header field: %q", ErrSelector, name)
			}
		}
		s.SignedHeaders = x.NamesToSign(sel.Headers, !sel.DontSeal)
	}
	if !s.Signs("From") {
		return nil, fmt.Errorf("%w: From is not among the header fields to sign", ErrSelector)
	}
	if len(s.SignedHeaders) > MaxSignedFields {
		return nil, fmt.Errorf("%w: %d header fields to sign", ErrTooMany, len(s.SignedHeaders))
	}
	return s, nil
}

func orRelaxed(c Canonicalization) Canonicalization {
	if c == "" {
		return Relaxed
	}
	return c
}

// NamesToSign returns names for tag h=, each as often as the message has it, and if
// seal is set once more, so that a field that is added breaks the signature
// (RFC 6376 §5.4). Names given twice count once.
func (x *Index) NamesToSign(names []string, seal bool) []string {
	var l []string
	for i, name := range names {
		if slices.ContainsFunc(names[:i], func(n string) bool { return strings.EqualFold(n, name) }) {
			continue
		}
		n := x.Count(strings.ToLower(name))
		if seal {
			n++
		}
		for range n {
			l = append(l, name)
		}
	}
	return l
}

// SignField signs header fields as s says and returns the field with the signature.
// Its name and first tags are those of DKIM-Signature or of a field like it, whose
// own tags come first. S must have all but the signature, which is set.
func (x *Index) SignField(name, first string, s *Sig, key crypto.Signer, utf8 bool) (string, error) {
	field := s.UnsignedField(name, first, utf8)
	sum, err := x.HeaderHash(s.HeaderCanon, s.SignedHeaders, []byte(field), -1)
	if err != nil {
		return "", err
	}
	if s.Signature, err = SignHash(key, sum[:]); err != nil {
		return "", err
	}
	return SignedField(field, s.Signature), nil
}
