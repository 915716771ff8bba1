package wire

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"mox/imap"
)

// MaxURL is the length in octets of the longest URL that is parsed.
const MaxURL = 8 << 10

// URL is a URL of a message, or of a part of one. RFC 5092 §11
type URL struct {
	// Of an absolute URL.
	Absolute bool
	User     string // Decoded, empty if there is none.
	Host     string // As it is written, with its port if there is one.

	// Relative is set for a path without a slash in front, which depends on the selected
	// mailbox; Mailbox may then be empty.
	Relative bool

	Mailbox     string // Decoded, as UTF-8.
	UIDValidity uint32 // 0 if there is none.
	UID         uint32
	Section     imap.Section
	Partial     *imap.Partial // Nil for all.

	// Of a URL with URLAUTH. RFC 4467 §9
	Expire    time.Time // Zero for never.
	Access    string    // "submit+", "user+" with a user, decoded; "authuser" or "anonymous". Empty without URLAUTH.
	Rump      string    // Up to the end of Access, as it is written.
	Mechanism string    // In upper case, empty in a rump.
	Token     string    // In hexadecimal, as it is written.
}

// errURL is for what is no URL of a message.
var errURL = errors.New("not an imap url of a message")

// ParseURL parses a URL of a message or of a part. Others, such as those of a mailbox, are
// an error.
//
//	imapurl       = "imap://" iserver ipath-query
//	imsg-or-part  = imailbox-ref "/" iuid-only ["/" isection-only] ["/" ipartial-only]
//	iurlauth-rump = [expire] ";URLAUTH=" access
//	iurlauth      = iurlauth-rump ":" mechanism ":" enc-urlauth
func ParseURL(s string) (u URL, err error) {
	if len(s) > MaxURL {
		return u, fmt.Errorf("%w: longer than %d octets", errURL, MaxURL)
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return u, fmt.Errorf("%w: invalid character", errURL)
		}
	}
	path := s
	if rest, ok := cutPrefixFold(s, "imap://"); ok {
		slash := strings.IndexByte(rest, '/')
		if slash < 0 {
			return u, errURL
		}
		if err := u.server(rest[:slash]); err != nil {
			return u, err
		}
		path = rest[slash:]
	} else if strings.HasPrefix(s, "//") {
		return u, errURL // Of another server.
	}
	if path, err = u.auth(s, path); err != nil {
		return u, err
	}
	return u, u.path(path)
}

// cutPrefixFold is strings.CutPrefix without regard to case.
func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// cutLastFold cuts around the last sep, which is in upper case.
func cutLastFold(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(strings.ToUpper(s), sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// unescape decodes percent-encoding to valid UTF-8 without control characters.
func unescape(s string) (string, error) {
	v, err := url.PathUnescape(s)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errURL, err)
	}
	if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) {
		return "", fmt.Errorf("%w: invalid text", errURL)
	}
	return v, nil
}

// server parses:
//
//	iserver   = [iuserinfo "@"] host [":" port]
//	iuserinfo = enc-user [iauth] / [enc-user] iauth
//	iauth     = ";AUTH=" ("*" / enc-auth-type)
func (u *URL) server(s string) (err error) {
	u.Absolute = true
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		user, _, _ := cutLastFold(s[:at], ";AUTH=")
		if u.User, err = unescape(user); err != nil {
			return err
		}
		s = s[at+1:]
	}
	if u.Host = s; s == "" {
		return errURL
	}
	return nil
}

// auth parses what comes behind the path, of which it returns the rest.
//
//	access = ("submit+" enc-user) / ("user+" enc-user) / "authuser" / "anonymous"
//	expire = ";EXPIRE=" date-time
func (u *URL) auth(whole, path string) (string, error) {
	path, auth, ok := cutLastFold(path, ";URLAUTH=")
	if !ok {
		return path, nil
	}
	access, mech, full := strings.Cut(auth, ":")
	u.Rump = whole[:len(whole)-len(auth)+len(access)]
	if full {
		name, token, _ := strings.Cut(mech, ":")
		u.Mechanism, u.Token = strings.ToUpper(name), token
		if name == "" || len(token) < 32 || strings.Trim(strings.ToLower(token), "0123456789abcdef") != "" {
			return "", fmt.Errorf("%w: invalid authorization", errURL)
		}
	}
	kind, user, hasUser := strings.Cut(access, "+")
	kind = strings.ToLower(kind)
	switch {
	case !hasUser && (kind == "authuser" || kind == "anonymous"):
		u.Access = kind
	case hasUser && user != "" && (kind == "submit" || kind == "user"):
		name, err := unescape(user)
		if err != nil {
			return "", err
		}
		u.Access = kind + "+" + name
	default:
		return "", fmt.Errorf("%w: unknown access", errURL)
	}
	path, expire, ok := cutLastFold(path, ";EXPIRE=")
	if ok {
		t, err := time.Parse(time.RFC3339, strings.ToUpper(expire))
		if err != nil {
			return "", fmt.Errorf("%w: invalid time", errURL)
		}
		u.Expire = t
	}
	return path, nil
}

// path parses the mailbox and what in it is meant.
func (u *URL) path(s string) error {
	if rest, ok := strings.CutPrefix(s, "/"); ok {
		s = rest
	} else {
		u.Relative = true
	}
	upper := strings.ToUpper(s)
	i := strings.Index(upper, "/;UID=")
	mailbox := ""
	switch {
	case i >= 0:
		mailbox, s = s[:i], s[i+len("/;UID="):]
	case u.Relative && strings.HasPrefix(upper, ";UID="):
		s = s[len(";UID="):]
	default:
		return errURL
	}
	mailbox, validity, ok := cutLastFold(mailbox, ";UIDVALIDITY=")
	var err error
	if ok {
		if u.UIDValidity, err = number(validity); err != nil {
			return err
		}
	}
	if u.Mailbox, err = unescape(mailbox); err != nil || mailbox == "" && (i >= 0 || ok) {
		return errURL
	}
	s, partial, hasPartial := cutLastFold(s, "/;PARTIAL=")
	s, section, hasSection := cutLastFold(s, "/;SECTION=")
	if u.UID, err = number(s); err != nil {
		return err
	}
	if hasSection {
		if u.Section, err = parseSection(section); err != nil {
			return err
		}
	}
	if hasPartial {
		return u.partial(partial)
	}
	return nil
}

// number parses an nz-number.
func number(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 || s[0] == '0' || s[0] == '+' {
		return 0, fmt.Errorf("%w: invalid number", errURL)
	}
	return uint32(n), nil
}

// parseSection parses a section without its brackets, percent-encoded.
func parseSection(s string) (imap.Section, error) {
	text, err := unescape(s)
	if err != nil {
		return imap.Section{}, err
	}
	d := NewDecoder(NewReader(strings.NewReader("["+text+"]\r\n"), nil), Options{Response: true, Limits: ServerLimits()})
	_ = d.ReadLine()
	sec := d.NeedSection()
	if d.End() != nil || text == "" {
		return imap.Section{}, fmt.Errorf("%w: invalid section", errURL)
	}
	return sec, nil
}

// partial parses:
//
//	partial-range = number ["." nz-number]
func (u *URL) partial(s string) error {
	offset, count, ok := strings.Cut(s, ".")
	p := imap.Partial{Count: 1<<63 - 1}
	n, err := strconv.ParseUint(offset, 10, 32)
	if err != nil {
		return fmt.Errorf("%w: invalid range", errURL)
	}
	p.Offset = int64(n)
	if ok {
		c, err := number(count)
		if err != nil {
			return err
		}
		p.Count = int64(c)
	}
	u.Partial = &p
	return nil
}
