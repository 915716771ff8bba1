package config

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"mox/dns"
	"mox/imap"
)

// checker collects what is wrong in one file.
type checker struct {
	file    string
	outline *outline // Nil for a configuration that is not from a file.
	errs    Errors
}

// addf adds an error about a field.
func (c *checker) addf(field, format string, args ...any) {
	c.errs = append(c.errs, &Error{c.file, c.outline.line(field), field, fmt.Sprintf(format, args...)})
}

// domain checks and returns a domain name, which must be written as it is stored.
func (c *checker) domain(field, s string) dns.Domain {
	if s == "" {
		c.addf(field, "domain name is empty")
		return dns.Domain{}
	}
	d, err := dns.ParseDomain(s)
	if err != nil {
		c.addf(field, "%s", trimPkg(err))
		return dns.Domain{}
	}
	if s != d.Name() {
		c.addf(field, "domain %q must be written in unicode and lower case, as %q", s, d.Name())
		return dns.Domain{}
	}
	return d
}

// domains checks and returns a list of domain names.
func (c *checker) domains(field string, names []string) []dns.Domain {
	var l []dns.Domain
	for i, name := range names {
		f := fmt.Sprintf("%s[%d]", field, i)
		d := c.domain(f, name)
		if d.IsZero() {
			continue
		}
		if slices.Contains(l, d) {
			c.addf(f, "domain %q is listed twice", name)
		}
		l = append(l, d)
	}
	return l
}

// otherMailbox is mailbox for one that cannot be Inbox.
func (c *checker) otherMailbox(field, s string) string {
	name := c.mailbox(field, s)
	if name == imap.Inbox {
		c.addf(field, "cannot be Inbox")
	}
	return name
}

// mailbox checks the name of a mailbox. The result is the form in which mailbox
// names are stored.
func (c *checker) mailbox(field, s string) string {
	name, err := imap.ParseMailboxName(s)
	if err == nil {
		return name
	}
	if ierr, ok := err.(*imap.Error); ok {
		c.addf(field, "%q: %s", s, ierr.Text)
	} else {
		c.addf(field, "%q: %s", s, err)
	}
	return ""
}

// notNegative adds an error if n is below zero.
func (c *checker) notNegative(field string, n int64) {
	if n < 0 {
		c.addf(field, "cannot be negative")
	}
}

// Limits of names of accounts, which are also names of directories.
const maxAccountName = 100

// accountName checks the name of an account.
func (c *checker) accountName(field, s string) {
	switch {
	case len(s) > maxAccountName:
		c.addf(field, "account name is longer than %d bytes", maxAccountName)
	case !norm.NFC.IsNormalString(s):
		c.addf(field, "account name is not in unicode normal form c")
	case strings.HasPrefix(s, ".") || strings.ContainsFunc(s, notInAccountName):
		c.addf(field, "account name %q: it is also the name of a directory, it cannot start with a dot or have a slash, backslash, colon, control character, or space at its start or end", s)
	case strings.TrimSpace(s) != s:
		c.addf(field, "account name %q has space around it", s)
	}
}

func notInAccountName(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 || r == '/' || r == '\\' || r == ':' || r == 0xfffd
}

// trimPkg returns the text of an error without the name of the package that made
// it, which means nothing to an operator.
func trimPkg(err error) string {
	s := err.Error()
	if pkg, rest, ok := strings.Cut(s, ": "); ok && !strings.Contains(pkg, " ") {
		return rest
	}
	return s
}
