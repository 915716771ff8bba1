package smtp

import "strings"

// Extensions is a set of service extensions: what a server offers in its reply to
// EHLO.
type Extensions uint32

// Service extensions.
const (
	Ext8BITMIME            Extensions = 1 << iota // RFC 6152
	ExtAuth                                       // RFC 4954
	ExtBinaryMIME                                 // RFC 3030
	ExtChunking                                   // RFC 3030
	ExtDSN                                        // RFC 3461
	ExtEnhancedStatusCodes                        // RFC 2034
	ExtFutureRelease                              // RFC 4865
	ExtLimits                                     // RFC 9422
	ExtPipelining                                 // RFC 2920
	ExtRequireTLS                                 // RFC 8689
	ExtSize                                       // RFC 1870
	ExtSMTPUTF8                                   // RFC 6531
	ExtStartTLS                                   // RFC 3207
)

// extensionKeywords are the EHLO keywords, in the order of the constants.
var extensionKeywords = [...]string{
	"8BITMIME", "AUTH", "BINARYMIME", "CHUNKING", "DSN", "ENHANCEDSTATUSCODES", "FUTURERELEASE",
	"LIMITS", "PIPELINING", "REQUIRETLS", "SIZE", "SMTPUTF8", "STARTTLS",
}

// ExtensionByKeyword returns the extension with an EHLO keyword, in any case, or
// zero.
func ExtensionByKeyword(keyword string) Extensions {
	for i, k := range extensionKeywords {
		if strings.EqualFold(k, keyword) {
			return 1 << i
		}
	}
	return 0
}

// Has reports whether all of other are in e.
func (e Extensions) Has(other Extensions) bool {
	return e&other == other
}

// String returns the keywords with spaces in between.
func (e Extensions) String() string {
	var l []string
	for i, k := range extensionKeywords {
		if e.Has(1 << i) {
			l = append(l, k)
		}
	}
	return strings.Join(l, " ")
}
