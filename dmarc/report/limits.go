package report

// Limits on reports from others.
const (
	// MaxMessage is the size in bytes of a message with a report, and of a compressed
	// file.
	MaxMessage = 15 << 20

	// MaxXML is the size in bytes of a report that is not compressed.
	MaxXML = 20 << 20

	// MaxRecords is the number of records of a report.
	MaxRecords = 50_000

	// MaxElements is the number of XML elements of a report.
	MaxElements = 1_000_000

	// MaxDepth is how deep elements may be inside one another.
	MaxDepth = 32

	// MaxToken is the length in bytes of one thing in XML: a tag with its attributes, a
	// piece of text, a comment.
	MaxToken = 64 << 10

	// MaxText is the length in bytes of the text of an element. Longer text is cut if it
	// is for people, and an error otherwise.
	MaxText = 4 << 10

	// MaxSignatures is the number of DKIM results of a record (RFC 9990 §3.1.3), and
	// MaxReasons that of reasons. When reading, those after them are dropped.
	MaxSignatures = 100
	MaxReasons    = 100

	// MaxNotes is the number of notes about one report.
	MaxNotes = 20

	// MaxParts is the number of parts of a message that are tried.
	MaxParts = 10

	// MaxRows is the number of different records that a Builder keeps, unless it is
	// told otherwise.
	MaxRows = 10_000

	// MaxNameLen is the length in bytes of a file name or subject that is parsed.
	MaxNameLen = 2000
)

// maxZipDirectory is the size of the directory of a zip file with one file in it.
const maxZipDirectory = 8 << 10

// maxCount bounds the number of messages in a record, so that sums do not
// overflow.
const maxCount = 1 << 40

// maxTime is the last second of the year 9999, for the dates of a report.
const maxTime = 253402300799
