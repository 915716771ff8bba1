package arc

import (
	"errors"
	"fmt"
	"strings"

	"mox/dkim"
	"mox/dns"
	"mox/internal/lex"
	"mox/message/trace"
)

// A Status is the Chain Validation Status, RFC 8617 §4.4.
type Status string

// Statuses, RFC 8617 §4.4.
const (
	StatusNone Status = "none" // There is no chain.
	StatusPass Status = "pass" // The chain is valid.
	StatusFail Status = "fail" // There is a chain that is not valid.
)

// Names of the header fields, RFC 8617 §4.1.
const (
	AuthResultsField      = "ARC-Authentication-Results" // AAR
	MessageSignatureField = "ARC-Message-Signature"      // AMS
	SealField             = "ARC-Seal"                   // AS
)

// Errors in a [Result], to be matched with errors.Is. Others are those of package
// dkim.
var (
	// ErrStructure means that the fields do not form a chain: one is missing, malformed,
	// or there twice.
	ErrStructure = errors.New("arc: malformed chain")
	// ErrSealedFail means that the chain was broken before, and a server has said so.
	ErrSealedFail = errors.New("arc: chain was sealed as failed")
	// ErrMessageSignature means that the latest message signature does not verify.
	ErrMessageSignature = errors.New("arc: message signature")
	// ErrSeal means that a seal does not verify.
	ErrSeal = errors.New("arc: seal")
)

// A Set is what one server has added to a message, RFC 8617 §4.2.
type Set struct {
	Instance int

	// AuthResults are what the server has found when it received the message. If
	// AuthResultsErr is set, they could not be parsed, which does not break a chain.
	AuthResults    trace.AuthResults
	AuthResultsErr error

	MessageSignature *dkim.Sig // Its Identity is nil.
	Seal             *dkim.Sig // It has no body hash and no signed header fields.
	CV               Status    // The status of the chain before, as the server says.

	// Records of the keys, nil if they were not looked up or found.
	MessageRecord, SealRecord *dkim.Record
	// SealAuthentic says that the answer with the key of the seal was verified with
	// DNSSEC.
	SealAuthentic bool

	raw [3][]byte // The fields, in the order in which a seal signs them.
	own [2][]byte // Message signature and seal as they are hashed for themselves.

	keyErr [2]error // Of the lookups of their keys.
}

// Domain returns the domain of the seal, which vouches for the results.
func (s *Set) Domain() dns.Domain {
	if s.Seal == nil {
		return dns.Domain{}
	}
	return s.Seal.Domain
}

// Kinds of fields, in the order in which a seal signs them, RFC 8617 §5.1.1.
const (
	kindAAR = iota
	kindAMS
	kindAS
)

var kindNames = [...]string{kindAAR: AuthResultsField, kindAMS: MessageSignatureField, kindAS: SealField}

// kindOf returns the kind of a field by its name in lower case.
func kindOf(name string) (kind int, ok bool) {
	switch name {
	case "arc-authentication-results":
		return kindAAR, true
	case "arc-message-signature":
		return kindAMS, true
	case "arc-seal":
		return kindAS, true
	}
	return 0, false
}

// Tags of the two signatures, RFC 8617 §4.1.2, §4.1.3. Tags i= and cv= are apart.
var (
	formAMS = dkim.Form{Required: "a b bh d h s", Optional: "c l q t x"}
	formAS  = dkim.Form{Required: "a b d s", Optional: "t"}
)

// collect returns the sets of a message by instance, from 1 on, up to the greatest
// one, also with an error, which is the first one.
func collect(x *dkim.Index) ([]*Set, error) {
	var sets []*Set
	var first error
	for _, f := range x.Fields() {
		kind, ok := kindOf(f.Name)
		if !ok {
			continue
		}
		limit := int64(dkim.MaxSignatureLen)
		if kind == kindAAR {
			limit = trace.MaxLen
		}
		var err error
		if f.Len() > limit {
			err = fmt.Errorf("longer than %d bytes", limit)
		} else if raw, rerr := x.Raw(f); rerr != nil {
			return nil, readError{rerr}
		} else {
			sets, err = add(sets, kind, raw)
		}
		if err != nil && first == nil {
			first = fmt.Errorf("%w: %s: %w", ErrStructure, kindNames[kind], err)
		}
	}
	return sets, first
}

// readError is an error of the reader of a message, not of the message.
type readError struct{ error }

func (e readError) Unwrap() error { return e.error }

// add adds a field to its set, which may be a new one.
func add(sets []*Set, kind int, raw []byte) ([]*Set, error) {
	value, _ := dkim.FieldValue(raw)
	var parsed Set
	if err := parsed.parse(kind, raw, string(value)); err != nil {
		return sets, err
	}
	n := parsed.Instance
	if n < 1 || n > MaxSets {
		return sets, fmt.Errorf("instance %d is not in 1 to %d", n, MaxSets)
	}
	for len(sets) < n {
		sets = append(sets, &Set{Instance: len(sets) + 1})
	}
	s := sets[n-1]
	if s.raw[kind] != nil {
		return sets, fmt.Errorf("second one of instance %d", n)
	}
	s.raw[kind] = raw
	switch kind {
	case kindAAR:
		s.AuthResults, s.AuthResultsErr = parsed.AuthResults, parsed.AuthResultsErr
	case kindAMS:
		s.MessageSignature, s.own[0] = parsed.MessageSignature, parsed.own[0]
	case kindAS:
		s.Seal, s.CV, s.own[1] = parsed.Seal, parsed.CV, parsed.own[1]
	}
	return sets, nil
}

// parse parses one field.
func (s *Set) parse(kind int, raw []byte, value string) error {
	if kind == kindAAR {
		n, payload, err := trace.ParseInstance(value)
		if err != nil {
			return err
		}
		s.Instance = n
		s.AuthResults, s.AuthResultsErr = trace.Parse(payload)
		return nil
	}
	form := formAMS
	if kind == kindAS {
		form = formAS
	}
	sig, tags, err := dkim.ParseForm(value, form)
	if err != nil {
		return err
	}
	if s.Instance, err = instance(tags); err != nil {
		return err
	}
	own := dkim.WithoutSignature(raw, tags)
	if kind == kindAMS {
		s.MessageSignature, s.own[0] = sig, own
		return checkSignedFields(sig)
	}
	s.Seal, s.own[1] = sig, own
	if tags.Has("h") {
		return errors.New("tag h= is not allowed") // RFC 8617 §4.1.3.
	}
	cv, _ := tags.Get("cv")
	switch s.CV = Status(strings.ToLower(cv.Value)); s.CV {
	case StatusNone, StatusPass, StatusFail:
		return nil
	}
	return errors.New("tag cv= is missing or unknown")
}

// instance parses tag i=.
func instance(tags dkim.Tags) (int, error) {
	t, ok := tags.Get("i")
	if !ok {
		return 0, errors.New("no tag i=")
	}
	if len(t.Value) > 2 || !lex.Digit.All(t.Value) {
		return 0, errors.New("tag i= is not a number of one or two digits")
	}
	n := 0
	for i := range len(t.Value) {
		n = n*10 + int(t.Value[i]-'0')
	}
	return n, nil
}

// checkSignedFields checks what a message signature is over, RFC 8617 §4.1.2,
// RFC 6376 §5.4. A signature of a part of the body would let anything be added to
// it.
func checkSignedFields(s *dkim.Sig) error {
	if !s.Signs("From") {
		return dkim.ErrFromUnsigned
	}
	for _, name := range kindNames {
		if s.Signs(name) {
			return fmt.Errorf("field %s must not be signed", name)
		}
	}
	if s.Length >= 0 {
		return errors.New("only a part of the body is signed, with l=")
	}
	return nil
}
