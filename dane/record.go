package dane

import (
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mjl-/adns"

	"mox/dns"
	"mox/internal/lex"
)

// A Record is a TLSA record, RFC 6698 §2.1.
type Record = dns.TLSA

// Usages of a record, RFC 6698 §2.1.1, with the names of RFC 7218.
const (
	PKIXTA = adns.TLSAUsagePKIXTA // 0: of an authority, for certificates that are valid by public authorities too.
	PKIXEE = adns.TLSAUsagePKIXEE // 1: of a server, for certificates that are valid by public authorities too.
	DANETA = adns.TLSAUsageDANETA // 2: of an authority.
	DANEEE = adns.TLSAUsageDANEEE // 3: of a server.
)

// A Usage is the first field of a record.
type Usage = adns.TLSAUsage

// Selectors, RFC 6698 §2.1.2.
const (
	Cert = adns.TLSASelectorCert // 0: a certificate.
	SPKI = adns.TLSASelectorSPKI // 1: its public key.
)

// Matching types, RFC 6698 §2.1.3.
const (
	Full   = adns.TLSAMatchTypeFull   // 0: the certificate or key itself.
	SHA256 = adns.TLSAMatchTypeSHA256 // 1: its SHA2-256 digest.
	SHA512 = adns.TLSAMatchTypeSHA512 // 2: its SHA2-512 digest.
)

// SMTPUsages returns the usages for SMTP between servers, RFC 7672 §3.1.3. Others are
// taken as unusable there.
func SMTPUsages() []Usage {
	return []Usage{DANETA, DANEEE}
}

// AllUsages returns the usages that this package knows.
func AllUsages() []Usage {
	return []Usage{PKIXTA, PKIXEE, DANETA, DANEEE}
}

// maxRecordText bounds a record in text: a record in DNS has at most 64 KiB.
const maxRecordText = 4 * 64 * 1024

var hexOrSpace = lex.HexDig.Union(lex.WSP)

// ParseRecord parses the data of a record as it is in zone files, "3 1 1 0123abcd",
// RFC 6698 §2.2. Parameters may be unknown and data of a wrong length, see
// [CheckRecord].
func ParseRecord(s string) (Record, error) {
	sc := lex.NewLimit(s, maxRecordText)
	r := scanRecord(sc)
	if err := sc.Err(); err != nil {
		return Record{}, fmt.Errorf("tlsa record: %w", err)
	}
	return r, nil
}

func scanRecord(s *lex.Scanner) Record {
	var r Record
	number := func(name string) uint8 {
		defer s.In(name)()
		s.Take(lex.WSP)
		n := s.NeedUint(255)
		s.NeedRun(lex.WSP, "white space")
		return uint8(n)
	}
	r.Usage = Usage(number("usage"))
	r.Selector = adns.TLSASelector(number("selector"))
	r.MatchType = adns.TLSAMatchType(number("matching type"))
	defer s.In("certificate association data")()
	text := s.NeedRun(hexOrSpace, "hexadecimal digits")
	s.NeedEnd()
	data, err := hex.DecodeString(strings.NewReplacer(" ", "", "\t", "").Replace(text))
	if err != nil {
		s.Fail("odd number of hexadecimal digits")
	}
	r.CertAssoc = data
	return r
}

// CheckRecord returns why a record is not usable, a *RecordError that matches
// ErrUnusable, or nil. Usages are those that are allowed.
func CheckRecord(r Record, usages ...Usage) error {
	if err := checkRecord(r, usages); err != nil {
		return &RecordError{r, fmt.Errorf("%w: %w", ErrUnusable, err)}
	}
	return nil
}

func checkRecord(r Record, usages []Usage) error {
	n := len(r.CertAssoc)
	switch {
	case r.Usage > DANEEE:
		return fmt.Errorf("unknown usage %d", r.Usage)
	case !slices.Contains(usages, r.Usage):
		return fmt.Errorf("usage %s(%d) is not for this protocol", r.Usage, r.Usage)
	case r.Selector > SPKI:
		return fmt.Errorf("unknown selector %d", r.Selector)
	case r.MatchType > SHA512:
		return fmt.Errorf("unknown matching type %d", r.MatchType)
	case r.MatchType == SHA256 && n != 32:
		return fmt.Errorf("%d bytes of data instead of 32", n)
	case r.MatchType == SHA512 && n != 64:
		return fmt.Errorf("%d bytes of data instead of 64", n)
	case r.MatchType == Full && !isDER(r.CertAssoc):
		return errors.New("data is not a certificate or key")
	}
	return nil
}

// isDER reports whether b is one ASN.1 sequence, which certificates and keys are.
func isDER(b []byte) bool {
	var v asn1.RawValue
	rest, err := asn1.Unmarshal(b, &v)
	return err == nil && len(rest) == 0 && v.Class == asn1.ClassUniversal && v.Tag == asn1.TagSequence && v.IsCompound
}

// Usable returns the records that can be used, and errors of type *RecordError for
// the others. Of records with the same usage and selector, only those with the
// strongest digest are returned, besides those without a digest, RFC 7671 §9. Records
// beyond MaxRecords are left out.
func Usable(records []Record, usages ...Usage) (usable []Record, problems []error) {
	records = records[:min(len(records), MaxRecords)]
	type group struct {
		Usage
		adns.TLSASelector
	}
	strongest := map[group]adns.TLSAMatchType{}
	for _, r := range records {
		if err := CheckRecord(r, usages...); err != nil {
			problems = append(problems, err)
			continue
		}
		usable = append(usable, r)
		g := group{r.Usage, r.Selector}
		strongest[g] = max(strongest[g], r.MatchType) // SHA2-512 is 2, SHA2-256 is 1.
	}
	usable = slices.DeleteFunc(usable, func(r Record) bool {
		return r.MatchType != Full && r.MatchType < strongest[group{r.Usage, r.Selector}]
	})
	return usable, problems
}
