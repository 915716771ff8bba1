package imapserver

import (
	"context"
	"strings"

	"mox/imap"
	"mox/imap/wire"
)

// ENABLE. RFC 9051 §6.3.1, RFC 5161

// parseEnable parses capability names, in the spelling of the client.
//
//	enable-data = "ENABLE" 1*(SP capability)
func parseEnable(d *wire.Decoder) []string {
	defer d.In("enable")()
	var names []string
	d.NeedSP()
	for {
		names = append(names, d.NeedAtom())
		if len(names) > wire.MaxListItems {
			d.Fail("too many capabilities")
		}
		if !d.TrySP() {
			return names
		}
	}
}

// runEnable turns on what a client wants. Unknown names are ignored. The response has
// what this command turned on.
func runEnable(_ context.Context, s *session, names []string) (reply, error) {
	var enabled []string
	for _, name := range names {
		switch imap.Cap(strings.ToUpper(name)) {
		case "IMAP4REV2":
			if !s.rev2 {
				s.rev2 = true
				enabled = append(enabled, name)
			}
		case imap.CapUTF8Accept:
			if !s.utf8Accept {
				s.utf8Accept = true
				enabled = append(enabled, name)
			}
		case imap.CapCondStore:
			if !s.condStore {
				s.enableCondStore()
				enabled = append(enabled, name)
			}
		case imap.CapQResync: // Which implies CONDSTORE. RFC 7162 §3.2.3
			if !s.qresync {
				s.qresync = true
				s.enableCondStore()
				enabled = append(enabled, name)
			}
		case imap.CapMetadata:
			if !s.metadata {
				s.metadata = true
				enabled = append(enabled, name)
			}
		case imap.CapUIDOnly:
			if !s.uidOnly {
				s.uidOnly = true
				enabled = append(enabled, name)
			}
		}
	}
	utf8 := s.rev2 || s.utf8Accept
	s.c.dec.SetUTF8(utf8)
	s.c.enc.SetUTF8(utf8)
	s.c.enc.Raw("* ENABLED")
	for _, name := range enabled {
		s.c.enc.Raw(" " + name)
	}
	s.c.enc.CRLF()
	return reply{}, nil
}
