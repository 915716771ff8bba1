package report

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// value returns the text of an element that is not for people.
func (x *xmlReader) value() (string, error) {
	s, cut, err := x.text()
	if err == nil && cut {
		err = x.fail("has more than %d bytes of text", MaxText)
	}
	return s, err
}

// str reads a value of no particular form.
func (x *xmlReader) str(dst *string) func() error {
	return func() (err error) {
		*dst, err = x.value()
		return err
	}
}

// human reads text for people.
func (x *xmlReader) human(dst *string) func() error {
	return func() error {
		s, cut, err := x.text()
		if cut {
			s = strings.ToValidUTF8(s, "")
			x.note("text cut after %d bytes", MaxText)
		}
		*dst = s
		return err
	}
}

// enum reads one of some words. If it is optional it may be empty, as some
// reporters have it instead of leaving the element out.
func enum[T ~string](x *xmlReader, dst *T, optional bool, words ...T) func() error {
	return func() error {
		s, err := x.value()
		if err != nil {
			return err
		}
		for _, w := range words {
			if string(w) == s {
				*dst = w // And not s, to share the memory.
				return nil
			}
		}
		if s == "" && optional {
			return nil
		}
		return x.fail("%q is not one of %s", clip(s), joinWords(words))
	}
}

func joinWords[T ~string](words []T) string {
	var l []string
	for _, w := range words {
		l = append(l, string(w))
	}
	return strings.Join(l, ", ")
}

// flag reads a word that is yes or no.
func (x *xmlReader) flag(dst *bool, optional bool, yes, no string) func() error {
	return func() error {
		var s string
		err := enum(x, &s, optional, yes, no)()
		*dst = s == yes
		return err
	}
}

// number reads a number from 0 to max.
func (x *xmlReader) number(dst *int64, max int64) func() error {
	return func() error {
		s, err := x.value()
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 0 || n > max {
			return x.fail("%q is not a number from 0 to %d", clip(s), max)
		}
		*dst = n
		return nil
	}
}

// seconds reads a time.
func (x *xmlReader) seconds(dst *time.Time) func() error {
	return func() error {
		var n int64
		if err := x.number(&n, maxTime)(); err != nil {
			return err
		}
		*dst = time.Unix(n, 0).UTC()
		return nil
	}
}

// address reads an IP address.
func (x *xmlReader) address(dst *netip.Addr) func() error {
	return func() error {
		s, err := x.value()
		if err != nil {
			return err
		}
		ip, err := netip.ParseAddr(s)
		if err != nil || ip.Zone() != "" {
			return x.fail("%q is not an ip address", clip(s))
		}
		*dst = ip.Unmap()
		return nil
	}
}
