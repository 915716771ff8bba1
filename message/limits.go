package message

// Limits on what is kept of a message. What lies beyond a limit stays part of
// the message and of the byte ranges; only its structure is not looked at.
const (
	// MaxHeader is the number of bytes of one header section that are split into
	// fields. Longer header sections are skipped to their end.
	MaxHeader = 1 << 20
	// MaxFields is the number of fields kept of one header section.
	MaxFields = 10_000
	// MaxDepth is the nesting depth of multiparts and messages.
	MaxDepth = 100
	// MaxParts is the number of parts of a message, nested ones included.
	MaxParts = 1000
	// MaxMetadata is the number of bytes of parameters, identifiers, descriptions
	// and nested envelopes that are kept for all parts together.
	MaxMetadata = 256 << 10
	// MaxEnvelope is the size of one ENVELOPE in bytes; addresses that do not fit
	// are left out.
	MaxEnvelope = 576 << 10
	// MaxAddresses is the number of addresses read from one header field.
	MaxAddresses = 5000
	// MaxBoundary is the length of a multipart boundary. RFC 2046 §5.1.1 allows
	// 70; senders with somewhat longer ones exist.
	MaxBoundary = 256
	// MaxParams is the number of parameters kept of one header field.
	MaxParams = 64
	// MaxValue is the length in bytes of a kept parameter, Content-ID,
	// description, location and the like.
	MaxValue = 2048
	// MaxReferences is the number of message identifiers kept of References: the
	// first, which is the root of the thread, and the last ones.
	MaxReferences = 100
	// MaxMessageID is the length in bytes of a kept message identifier.
	MaxMessageID = 998
	// MaxDigestFields is the number of bytes of usual header fields in a Digest.
	MaxDigestFields = 8 << 10
	// MaxSearchText is the number of bytes of each search text in a Digest.
	MaxSearchText = 64 << 10
	// MaxPreview is the number of characters of a preview, the upper limit of
	// RFC 8970 §3.3.
	MaxPreview = 256
)

// Limits bounds the work and memory that one message may take. A field that is
// zero or negative stands for its default, the constant of the same name.
type Limits struct {
	Header   int // Bytes of a header section, MaxHeader.
	Fields   int // Fields of a header section, MaxFields.
	Depth    int // Nesting, MaxDepth; more than MaxDepth is taken as MaxDepth.
	Parts    int // Parts, MaxParts; more than MaxParts is taken as MaxParts.
	Metadata int // Bytes kept of part headers, MaxMetadata.
}

// withDefaults fills in what is not set. Depth and Parts cannot be raised: a
// Digest is checked against the constants.
func (l Limits) withDefaults() Limits {
	l.Header = orDefault(l.Header, MaxHeader)
	l.Fields = orDefault(l.Fields, MaxFields)
	l.Depth = min(orDefault(l.Depth, MaxDepth), MaxDepth)
	l.Parts = min(orDefault(l.Parts, MaxParts), MaxParts)
	l.Metadata = orDefault(l.Metadata, MaxMetadata)
	return l
}

func orDefault(v, d int) int {
	if v <= 0 {
		return d
	}
	return v
}
