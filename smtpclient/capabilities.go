package smtpclient

import (
	"strconv"
	"strings"

	"mox/internal/lex"
	"mox/smtp"
)

// Capabilities are what a server announces in reply to EHLO.
type Capabilities struct {
	Extensions smtp.Extensions

	// MaxSize is the largest message the server takes, in octets, RFC 1870 §4. Zero
	// means that it has no fixed limit, or does not tell.
	MaxSize int64

	// Mechanisms are the SASL mechanisms, in upper case.
	Mechanisms []string

	Limits Limits
}

// Limits are those of RFC 9422 §4. Zero means not announced.
type Limits struct {
	MailMax       int // MAIL commands on a connection.
	RcptMax       int // RCPT commands in a transaction.
	RcptDomainMax int // Domains of recipients on a connection.
}

// parseCapabilities reads the lines of the reply to EHLO. The first line is the
// name of the server. Lines that cannot be parsed are skipped: what is not
// understood is not used.
//
//	ehlo-line = ehlo-keyword *( SP ehlo-param )
func parseCapabilities(r Reply) Capabilities {
	var c Capabilities
	lines := strings.Split(r.Text(), "\n")
	for _, line := range lines[1:] {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		keyword, params := strings.ToUpper(words[0]), words[1:]
		// An old form, from before RFC 2554, of servers for old clients.
		if mech, ok := strings.CutPrefix(keyword, "AUTH="); ok {
			keyword, params = "AUTH", append([]string{mech}, params...)
		}
		ext := smtp.ExtensionByKeyword(keyword)
		switch ext {
		case smtp.ExtSize:
			if len(params) > 0 && len(params[0]) <= 20 && lex.Digit.All(params[0]) {
				// What does not fit is as good as no limit.
				if n, err := strconv.ParseInt(params[0], 10, 64); err == nil {
					c.MaxSize = n
				}
			}
		case smtp.ExtAuth:
			for _, p := range params {
				c.Mechanisms = append(c.Mechanisms, strings.ToUpper(p))
			}
		case smtp.ExtLimits:
			limits, ok := parseLimits(params)
			if !ok {
				continue
			}
			c.Limits = limits
		}
		c.Extensions |= ext
	}
	return c
}

// Classes for LIMITS, RFC 9422 §3.
var (
	limitName  = lex.LDH.Union(lex.Bytes("_"))
	limitValue = lex.VChar.Without(lex.Bytes(";"))
)

// parseLimits parses the production below. It returns false for syntax errors, for
// which the extension is to be ignored; a limit with a value that is not valid is
// ignored by itself, RFC 9422 §3.7.
//
//	limits-param     = limit-name-value 0*[SP limit-name-value]
//	limit-name-value = limit-name ["=" limit-value]
func parseLimits(params []string) (Limits, bool) {
	var l Limits
	for _, p := range params {
		name, value, hasValue := strings.Cut(p, "=")
		if !limitName.All(name) || hasValue && !limitValue.All(value) {
			return Limits{}, false
		}
		// All three: %x31-39 0*5DIGIT
		if len(value) > 6 || !lex.Digit.All(value) || value[0] == '0' {
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil {
			continue
		}
		switch strings.ToUpper(name) {
		case "MAILMAX":
			l.MailMax = n
		case "RCPTMAX":
			l.RcptMax = n
		case "RCPTDOMAINMAX":
			l.RcptDomainMax = n
		}
	}
	return l, len(params) > 0
}
