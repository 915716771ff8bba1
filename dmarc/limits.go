package dmarc

// Limits on what others control.
const (
	// MaxRecordLen is the length of a policy record in bytes. Longer ones are not taken
	// for policy records.
	MaxRecordLen = 16 << 10

	// MaxTags is the number of tags read from a record. Those after them are ignored.
	MaxTags = 64

	// MaxURIs is the number of URIs kept of each of rua and ruf.
	MaxURIs = 50

	// MaxNotes is the number of notes about one record.
	MaxNotes = 20

	// MaxWalkQueries is the number of queries of one tree walk, RFC 9989 §4.10.
	MaxWalkQueries = 8

	// MaxQueries is the number of queries of one Walker for policy records: several
	// walks for the From domain and the domains of SPF and DKIM.
	MaxQueries = 100

	// MaxIdentifiers is the number of DKIM signatures that are considered.
	MaxIdentifiers = 100

	// MaxFromDomains is the number of different domains in From for which a message is
	// evaluated at all, RFC 9989 §11.5.
	MaxFromDomains = 4

	// MaxAuthorizations is the number of records in DNS that are looked at for one
	// destination of reports.
	MaxAuthorizations = 20
)

// maxShown is the length of text of a record in a note.
const maxShown = 60

// clip keeps text that others wrote short.
func clip(s string) string {
	if len(s) > maxShown {
		return s[:maxShown] + "..."
	}
	return s
}
