package sasl

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"
)

// MaxUsername is the largest user name in octets. It is more than any address
// can have.
const MaxUsername = 1024

// PreparePassword returns the form of a password from which secrets are derived
// and hashed: the OpaqueString profile of RFC 8265 §4.2, so that the same
// password typed on different systems gives the same octets. A password that
// the profile does not allow, such as one with control characters, is used as it
// is: refusing it would lock out users that have had it for years.
func PreparePassword(password string) string {
	// The profile's code would replace what is not UTF-8, which makes different
	// passwords equal.
	if !utf8.ValidString(password) {
		return password
	}
	s, err := precis.OpaqueString.String(password)
	if err != nil {
		return password
	}
	return s
}

// PrepareUsername returns a user name in Unicode normalisation form C, the form
// in which addresses are stored. It returns ErrUsername for a name that is empty,
// longer than MaxUsername, not UTF-8, or has control characters.
//
// It does not apply the case mapping and character limits of RFC 8265 §3: our
// user names are mail addresses, and those have their own rules.
func PrepareUsername(name string) (string, error) {
	switch {
	case name == "":
		return "", failf(ErrUsername, "empty")
	case len(name) > MaxUsername:
		return "", failf(ErrUsername, "%d octets, more than %d", len(name), MaxUsername)
	case !utf8.ValidString(name):
		return "", failf(ErrUsername, "not UTF-8")
	case strings.ContainsFunc(name, unicode.IsControl):
		return "", failf(ErrUsername, "control character")
	}
	return norm.NFC.String(name), nil
}

// prepareIdentity normalises both names; an empty authorization stays empty.
func prepareIdentity(authentication, authorization string) (Identity, error) {
	var id Identity
	var err error
	if id.Authentication, err = PrepareUsername(authentication); err != nil {
		return Identity{}, err
	}
	if authorization == "" {
		return id, nil
	}
	if id.Authorization, err = PrepareUsername(authorization); err != nil {
		return Identity{}, err
	}
	return id, nil
}
