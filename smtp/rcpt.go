package smtp

import (
	"strings"
	"unicode"

	"mox/internal/lex"
)

// Notify is the value of the NOTIFY parameter: when the sender wants to be
// notified about a recipient, RFC 3461 §4.1. Zero means that there was no
// parameter, which is like NotifyFailure, with or without NotifyDelay.
type Notify uint8

// Values of NOTIFY. NotifyNever is not combined with others.
const (
	NotifyNever Notify = 1 << iota
	NotifySuccess
	NotifyFailure
	NotifyDelay
)

var notifyKeywords = [...]string{"NEVER", "SUCCESS", "FAILURE", "DELAY"}

// String returns the value for use in a command.
func (n Notify) String() string {
	var l []string
	for i, k := range notifyKeywords {
		if n&(1<<i) != 0 {
			l = append(l, k)
		}
	}
	return strings.Join(l, ",")
}

// OriginalRecipient is the value of the ORCPT parameter: the address the sender
// had used, RFC 3461 §4.2.
type OriginalRecipient struct {
	AddrType string // E.g. "rfc822" or "utf-8", in lower case. Empty if there is none.
	Address  string // Decoded. Need not be an address by the rules of SMTP.
}

// encode returns the value for the ORCPT parameter.
func (o OriginalRecipient) encode(utf8 bool) string {
	if o.AddrType == "utf-8" {
		return o.AddrType + ";" + EncodeUTF8Addr(o.Address, utf8)
	}
	return o.AddrType + ";" + EncodeXtext(o.Address)
}

// RcptCommand is a RCPT command, RFC 5321 §4.1.1.3 and the extensions.
type RcptCommand struct {
	ForwardPath       Path
	Notify            Notify
	OriginalRecipient OriginalRecipient
}

// RcptOptions are for ParseRcpt.
type RcptOptions struct {
	Mode Mode

	// Extensions are those that were offered to the client. The parameters of others
	// are refused.
	Extensions Extensions

	// SMTPUTF8 is set if the MAIL command of the transaction has this parameter.
	SMTPUTF8 bool
}

var rcptParams = []paramDef[RcptCommand]{
	{"NOTIFY", ExtDSN, true, setNotify},
	{"ORCPT", ExtDSN, true, setORCPT},
}

// ParseRcpt parses the arguments of RCPT, what follows "RCPT ":
//
//	rcpt = "RCPT TO:" ( "<Postmaster@" Domain ">" / "<Postmaster>" / Forward-path )
//	       [SP Rcpt-parameters] CRLF
//
// A forward-path that is not ASCII in a transaction without SMTPUTF8 is refused
// with 553 5.6.7, RFC 6531 §3.5. Errors are of type *Error.
func ParseRcpt(args string, opts RcptOptions) (RcptCommand, error) {
	s := lex.New(args)
	defer s.In("rcpt")()
	s.NeedFold("TO:")
	if opts.Mode == Lenient {
		s.Take(lex.WSP)
	}
	var c RcptCommand
	start := s.Pos()
	c.ForwardPath = scanForwardPath(s, opts.Mode)
	if !s.OK() {
		return RcptCommand{}, syntaxError(s.Err())
	}
	if !opts.SMTPUTF8 && !isASCII(s.Since(start)) {
		return RcptCommand{}, Errorf(C553MailboxNameInvalid, Se67NonASCIIAddressesNotPermitted, "address not in ASCII requires SMTPUTF8")
	}
	params, err := scanCommandParams(s, opts.Mode)
	if err != nil {
		return RcptCommand{}, err
	}
	if err := applyParams(&c, params, rcptParams, opts.Extensions, opts.Mode); err != nil {
		return RcptCommand{}, err
	}
	return c, nil
}

// setNotify parses the NOTIFY parameter:
//
//	notify-esmtp-value  = "NEVER" / 1#notify-list-element
//	notify-list-element = "SUCCESS" / "FAILURE" / "DELAY"
func setNotify(c *RcptCommand, p Param, _ Mode) error {
	for word := range strings.SplitSeq(p.Value, ",") {
		bit := Notify(0)
		for i, k := range notifyKeywords {
			if strings.EqualFold(k, word) {
				bit = 1 << i
			}
		}
		if bit == 0 {
			return paramError(p, "unknown condition")
		}
		c.Notify |= bit
	}
	if c.Notify&NotifyNever != 0 && c.Notify != NotifyNever {
		return paramError(p, "NEVER with other conditions")
	}
	return nil
}

// setORCPT parses the ORCPT parameter:
//
//	original-recipient-address = addr-type ";" xtext
//	addr-type                  = atom
func setORCPT(c *RcptCommand, p Param, mode Mode) error {
	addrType, value, ok := strings.Cut(p.Value, ";")
	if !ok || len(p.Value) > MaxORCPT || !lex.AText.All(addrType) {
		return paramError(p, "expected address type and address")
	}
	o := OriginalRecipient{AddrType: strings.ToLower(addrType)}
	var err error
	if o.AddrType == "utf-8" {
		// One that is labelled utf-8 and is not, is to be kept as it is, RFC 6533 §3.
		if o.Address, err = DecodeUTF8Addr(value); err != nil {
			o.Address = value
		}
		if o.Address == "" || strings.ContainsFunc(o.Address, unicode.IsControl) {
			return paramError(p, "no address, or one with control characters")
		}
	} else {
		o.Address, err = DecodeXtext(value, mode)
		if err != nil || !isPrintable(o.Address) {
			return paramError(p, "not xtext of printable characters")
		}
	}
	c.OriginalRecipient = o
	return nil
}

// Format returns the command as a client sends it, without CRLF. The domain is in
// Unicode if utf8 is set, for transactions with SMTPUTF8.
func (c RcptCommand) Format(utf8 bool) string {
	s := "RCPT TO:<" + c.ForwardPath.XString(utf8) + ">"
	if c.Notify != 0 {
		s += " NOTIFY=" + c.Notify.String()
	}
	if c.OriginalRecipient.AddrType != "" {
		s += " ORCPT=" + c.OriginalRecipient.encode(utf8)
	}
	return s
}
