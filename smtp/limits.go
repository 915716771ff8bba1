package smtp

// Limits, all in octets. RFC 5321 §4.5.3.1 gives the least that must be handled.
const (
	// MaxLocalpartStrict is the limit of RFC 5321 §4.5.3.1.1.
	MaxLocalpartStrict = 64

	// MaxLocalpartLenient is for generated local-parts, such as of mailing lists that
	// put the address of the recipient in it, which exceed the limit of the RFC.
	MaxLocalpartLenient = 128

	// MaxPath is for a path with its angle brackets and source route,
	// RFC 5321 §4.5.3.1.3.
	MaxPath = 256

	// MaxReplyLine is for a line of a reply with its CRLF, RFC 5321 §4.5.3.1.5.
	MaxReplyLine = 512

	// MaxEnvID and MaxORCPT are for values as sent, RFC 3461 §5.4.
	MaxEnvID = 100
	MaxORCPT = 500

	// MaxParams is the number of parameters of one MAIL or RCPT command. There are
	// about a dozen in all extensions together.
	MaxParams = 30
)
