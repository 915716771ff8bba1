package smtp

import (
	"math"
	"strconv"
	"strings"
	"time"

	"mox/internal/lex"
)

// Body is the value of the BODY parameter: what the content may consist of.
type Body string

// Values of BODY. The zero value is that of a command without BODY, which means
// the same as 7BIT.
const (
	Body7Bit       Body = "7BIT"       // RFC 6152 §2
	Body8BitMIME   Body = "8BITMIME"   // RFC 6152 §2
	BodyBinaryMIME Body = "BINARYMIME" // RFC 3030 §3
)

// Ret is the value of the RET parameter: how much of a message a failure
// notification returns, RFC 3461 §4.3. The zero value leaves it to the server.
type Ret string

// Values of RET.
const (
	RetFull    Ret = "FULL"
	RetHeaders Ret = "HDRS"
)

// maxHoldFor is the most that nine digits of seconds can say, RFC 4865 §4.
const maxHoldFor = 999_999_999 * time.Second

// MailCommand is a MAIL command, RFC 5321 §4.1.1.2 and the extensions.
type MailCommand struct {
	// ReversePath is where failures are reported to. Zero is the null reverse-path.
	ReversePath Path

	// Size is the declared size of the content in octets, RFC 1870 §6. Zero means not
	// declared. Declarations beyond the range of int64 have its maximum.
	Size int64

	Body     Body
	SMTPUTF8 bool // RFC 6531 §3.4

	// RequireTLS is for RFC 8689 §2.
	RequireTLS bool

	// Auth is the identity that submitted the message, RFC 4954 §5. Nil means that
	// there was no parameter, the zero path that the identity is not known.
	Auth *Path

	// HoldFor and HoldUntil ask to keep the message for some time, RFC 4865 §4. At most
	// one is not zero. HoldUntil is in UTC.
	HoldFor   time.Duration
	HoldUntil time.Time

	// Ret and EnvID are for delivery status notifications, RFC 3461 §4.3 and §4.4.
	// EnvID is decoded.
	Ret   Ret
	EnvID string
}

// MailOptions are for ParseMail.
type MailOptions struct {
	Mode Mode

	// Extensions are those that were offered to the client. The parameters of others
	// are refused.
	Extensions Extensions
}

// mailParams are the parameters of MAIL. Limits that a server sets, such as on
// size, are for it to check.
var mailParams = []paramDef[MailCommand]{
	{"SIZE", ExtSize, true, setSize},
	{"BODY", Ext8BITMIME, true, setBody},
	{"SMTPUTF8", ExtSMTPUTF8, false, func(c *MailCommand, _ Param, _ Mode) error { c.SMTPUTF8 = true; return nil }},
	{"REQUIRETLS", ExtRequireTLS, false, func(c *MailCommand, _ Param, _ Mode) error { c.RequireTLS = true; return nil }},
	{"AUTH", ExtAuth, true, setAuth},
	{"HOLDFOR", ExtFutureRelease, true, setHoldFor},
	{"HOLDUNTIL", ExtFutureRelease, true, setHoldUntil},
	{"RET", ExtDSN, true, setRet},
	{"ENVID", ExtDSN, true, setEnvID},
}

// ParseMail parses the arguments of MAIL, what follows "MAIL ":
//
//	mail = "MAIL FROM:" Reverse-path [SP Mail-parameters] CRLF
//
// A reverse-path that is not ASCII is refused unless the SMTPUTF8 parameter, which
// comes after it, is there: with 550 5.6.7, RFC 6531 §3.5. Errors are of type
// *Error.
func ParseMail(args string, opts MailOptions) (MailCommand, error) {
	s := lex.New(args)
	defer s.In("mail")()
	s.NeedFold("FROM:")
	if opts.Mode == Lenient {
		s.Take(lex.WSP)
	}
	var c MailCommand
	start := s.Pos()
	c.ReversePath = scanReversePath(s, opts.Mode)
	if !s.OK() {
		return MailCommand{}, syntaxError(s.Err())
	}
	international := !isASCII(s.Since(start))
	params, err := scanCommandParams(s, opts.Mode)
	if err != nil {
		return MailCommand{}, err
	}
	if err := applyParams(&c, params, mailParams, opts.Extensions, opts.Mode); err != nil {
		return MailCommand{}, err
	}
	if c.Body == BodyBinaryMIME && !opts.Extensions.Has(ExtBinaryMIME) {
		return MailCommand{}, errBody()
	}
	if c.HoldFor != 0 && !c.HoldUntil.IsZero() {
		return MailCommand{}, Errorf(C501BadParameters, Se54InvalidArguments, "both HOLDFOR and HOLDUNTIL")
	}
	if !c.SMTPUTF8 && international {
		return MailCommand{}, Errorf(C550MailboxUnavailable, Se67NonASCIIAddressesNotPermitted, "address not in ASCII requires SMTPUTF8")
	}
	return c, nil
}

// scanCommandParams parses the parameters after a path, and the end of the command.
func scanCommandParams(s *lex.Scanner, mode Mode) ([]Param, error) {
	if s.End() {
		return nil, nil
	}
	s.NeedByte(' ')
	params, err := scanParams(s, mode)
	if err != nil {
		return nil, err
	}
	if !s.OK() {
		return nil, syntaxError(s.Err())
	}
	return params, nil
}

// setSize parses size-value of RFC 1870 §6, which has up to 20 digits.
func setSize(c *MailCommand, p Param, _ Mode) error {
	if len(p.Value) > 20 || !lex.Digit.All(p.Value) {
		return paramError(p, "expected up to 20 digits")
	}
	n, err := strconv.ParseInt(p.Value, 10, 64)
	if err != nil {
		n = math.MaxInt64
	}
	c.Size = n
	return nil
}

func setBody(c *MailCommand, p Param, _ Mode) error {
	switch b := Body(strings.ToUpper(p.Value)); b {
	case Body7Bit, Body8BitMIME, BodyBinaryMIME:
		c.Body = b
		return nil
	}
	return errBody()
}

func errBody() error {
	return Errorf(C555ParamsNotRecognized, Se54InvalidArguments, "value of parameter BODY not recognized")
}

// setAuth parses the AUTH parameter of RFC 4954 §5: "<>" or a mailbox, as xtext.
func setAuth(c *MailCommand, p Param, mode Mode) error {
	c.Auth = &Path{}
	if p.Value == "<>" {
		return nil
	}
	s, err := DecodeXtext(p.Value, mode)
	if err != nil {
		return paramError(p, "not xtext")
	}
	if *c.Auth, err = ParseMailbox(s, mode); err != nil {
		return paramError(p, "not a mailbox")
	}
	return nil
}

// setHoldFor parses future-release-integer of RFC 4865 §4: %x31-39 *8DIGIT.
func setHoldFor(c *MailCommand, p Param, _ Mode) error {
	if len(p.Value) > 9 || !lex.Digit.All(p.Value) || p.Value[0] == '0' {
		return paramError(p, "expected up to 9 digits")
	}
	n, err := strconv.ParseInt(p.Value, 10, 64)
	if err != nil {
		return paramError(p, "expected a number")
	}
	c.HoldFor = time.Duration(n) * time.Second
	return nil
}

// setHoldUntil parses a date-time of RFC 3339 §5.6 in UTC, as RFC 4865 §4 wants.
func setHoldUntil(c *MailCommand, p Param, _ Mode) error {
	t, err := time.Parse(time.RFC3339, p.Value)
	if err != nil || !strings.HasSuffix(p.Value, "Z") {
		return paramError(p, "expected a date and time in UTC")
	}
	c.HoldUntil = t
	return nil
}

func setRet(c *MailCommand, p Param, _ Mode) error {
	switch r := Ret(strings.ToUpper(p.Value)); r {
	case RetFull, RetHeaders:
		c.Ret = r
		return nil
	}
	return paramError(p, "expected FULL or HDRS")
}

func setEnvID(c *MailCommand, p Param, mode Mode) error {
	s, err := DecodeXtext(p.Value, mode)
	if err != nil || len(p.Value) > MaxEnvID || !isPrintable(s) {
		return paramError(p, "expected up to 100 characters of xtext")
	}
	c.EnvID = s
	return nil
}

// FutureReleaseRequest returns the value of the DSN field of that name for a
// message that was to be held, RFC 4865 §5.1.2, and is empty for others.
func (c MailCommand) FutureReleaseRequest() string {
	switch {
	case c.HoldFor != 0:
		return "for;" + formatSeconds(c.HoldFor)
	case !c.HoldUntil.IsZero():
		return "until;" + c.HoldUntil.UTC().Format(time.RFC3339)
	}
	return ""
}

func formatSeconds(d time.Duration) string {
	return strconv.FormatInt(int64(min(d, maxHoldFor)/time.Second), 10)
}

// String returns the command as a client sends it, without CRLF. The domain is in
// Unicode if SMTPUTF8 is set.
func (c MailCommand) String() string {
	var b strings.Builder
	b.WriteString("MAIL FROM:<" + c.ReversePath.XString(c.SMTPUTF8) + ">")
	if c.Size > 0 {
		b.WriteString(" SIZE=" + strconv.FormatInt(c.Size, 10))
	}
	if c.Body != "" {
		b.WriteString(" BODY=" + string(c.Body))
	}
	if c.SMTPUTF8 {
		b.WriteString(" SMTPUTF8")
	}
	if c.RequireTLS {
		b.WriteString(" REQUIRETLS")
	}
	switch {
	case c.Auth == nil:
	case c.Auth.IsZero():
		b.WriteString(" AUTH=<>")
	default:
		b.WriteString(" AUTH=" + EncodeXtext(c.Auth.XString(c.SMTPUTF8)))
	}
	switch {
	case c.HoldFor != 0:
		b.WriteString(" HOLDFOR=" + formatSeconds(c.HoldFor))
	case !c.HoldUntil.IsZero():
		b.WriteString(" HOLDUNTIL=" + c.HoldUntil.UTC().Format(time.RFC3339))
	}
	if c.Ret != "" {
		b.WriteString(" RET=" + string(c.Ret))
	}
	if c.EnvID != "" {
		b.WriteString(" ENVID=" + EncodeXtext(c.EnvID))
	}
	return b.String()
}
