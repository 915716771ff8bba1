package wire

import "mox/imap"

// Limits of what a server reads. See [ServerLimits] for the first five, as a server uses
// them.
const (
	MaxLine         = 16 << 10   // Bytes in a line, without CRLF. RFC 7162 §4 asks for 8192 or more.
	MaxLiteral      = 100 << 10  // Bytes in a literal that is a string.
	MaxLiteralTotal = 1000 << 10 // Bytes in all such literals of a command, and the lines after them.
	MaxLiterals     = 1000       // Number of such literals in a command.
	MaxDrain        = 1 << 20    // Bytes of a refused command that are read to stay in sync.

	MaxFetchItems = 100 // Items in a FETCH command.
	MaxListItems  = 100 // Elements of other lists, such as patterns of LIST.
	MaxTag        = 256 // Bytes in a tag.
)

// Limits bound what a [Decoder] reads for one command or response.
type Limits struct {
	Line         int   // Bytes in a line, without CRLF.
	Literal      int   // Bytes in a literal that is a string.
	LiteralTotal int   // Bytes in all such literals, and the lines after them.
	Literals     int   // Number of such literals.
	Drain        int64 // Bytes that [Decoder.Abandon] reads.
	Ranges       int   // Ranges in a number set.
}

// ServerLimits returns the limits for commands of a client.
func ServerLimits() Limits {
	return Limits{
		Line:         MaxLine,
		Literal:      MaxLiteral,
		LiteralTotal: MaxLiteralTotal,
		Literals:     MaxLiterals,
		Drain:        MaxDrain,
		Ranges:       imap.MaxNumSetRanges,
	}
}
