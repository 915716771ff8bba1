package imapserver

import (
	"context"
	"errors"
	"strings"

	"mox/imap"
	"mox/imap/wire"
	"mox/store"
)

// GETMETADATA, SETMETADATA. RFC 5464, and LIST with METADATA, RFC 9590. Entries are of a
// mailbox, or, with the empty name, of the account. No mailbox has more than one user, so
// that shared entries are as private ones.

// metadataRequest has the arguments of GETMETADATA.
type metadataRequest struct {
	name    string
	maxSize int64 // -1 for none.
	depth   int   // 0, 1, or -1 for infinity.
	entries []string
}

// parseGetMetadata parses options, a mailbox and entries. The grammar has the options in
// front of the mailbox, the examples of the RFC behind it.
//
//	getmetadata         = "GETMETADATA" [SP getmetadata-options] SP mailbox SP entries
//	getmetadata-options = "(" getmetadata-option *(SP getmetadata-option) ")"
//	entries             = entry / "(" entry *(SP entry) ")"
func parseGetMetadata(d *wire.Decoder) *metadataRequest {
	defer d.In("getmetadata")()
	req := &metadataRequest{maxSize: -1}
	if d.PeekSPList() {
		d.NeedSP()
		d.NeedList(func() { req.parseOption(d) })
	}
	req.name = parseMailbox(d)
	d.NeedSP()
	for d.PeekIs('(') {
		options := false
		d.NeedList(func() {
			switch c, _ := d.Peek(); c {
			case 'M', 'm', 'D', 'd':
				options = true
				req.parseOption(d)
			default:
				req.entries = append(req.entries, needEntry(d, false))
			}
		})
		if !options {
			return req
		}
		if len(req.entries) > 0 {
			d.Fail("options among entries")
		}
		d.NeedSP()
	}
	req.entries = append(req.entries, needEntry(d, false))
	return req
}

// parseOption parses an option of GETMETADATA. RFC 5464 §4.2.1, §4.2.2
//
//	maxsize-opt = "MAXSIZE" SP number
//	scope-opt   = "DEPTH" SP ("0" / "1" / "infinity")
func (r *metadataRequest) parseOption(d *wire.Decoder) {
	switch d.NeedName() {
	case "MAXSIZE":
		d.NeedSP()
		r.maxSize = d.NeedNumber64()
	case "DEPTH":
		d.NeedSP()
		switch strings.ToLower(d.NeedAtom()) {
		case "0":
			r.depth = 0
		case "1":
			r.depth = 1
		case "infinity":
			r.depth = -1
		default:
			d.Fail("unknown depth")
		}
	default:
		d.Fail("unknown option")
	}
}

// needEntry consumes the name of an entry, and returns it in lower case: names are
// compared without regard to case (RFC 5464 §3.2). One that can be set is in /private or
// /shared, and, in what belongs to a vendor, below the vendor's name (§3.2.1.2).
func needEntry(d *wire.Decoder, settable bool) string {
	defer d.In("entry")()
	name := strings.ToLower(d.NeedAString())
	if d.Err() != nil {
		return ""
	}
	bad := func(r rune) bool { return r <= ' ' || r > '~' || r == '*' || r == '%' }
	parts := strings.Split(name, "/")
	switch {
	case strings.ContainsFunc(name, bad), len(name) > store.MaxAnnotationNameSize, !strings.HasPrefix(name, "/"),
		strings.HasSuffix(name, "/"), strings.Contains(name, "//"), parts[1] != "private" && parts[1] != "shared":
		d.Fail("not the name of an entry")
	case settable && (len(parts) < 3 || parts[2] == "vendor" && len(parts) < 5):
		d.Fail("no entry can have this name")
	}
	return name
}

// annotated returns the id of what has a name: a mailbox, or the account, which has id 0
// and no name.
func (s *session) annotated(name string) (int64, error) {
	if name == "" {
		return 0, nil
	}
	mb, err := s.mailbox(name)
	return mb.ID, err
}

// runGetMetadata tells values. LONGENTRIES says how large the largest one is that was too
// large to be told. RFC 5464 §4.2
func runGetMetadata(ctx context.Context, s *session, req *metadataRequest) (reply, error) {
	id, err := s.annotated(req.name)
	if err != nil {
		return reply{}, err
	}
	all, err := s.account.Annotations(ctx, id)
	if err != nil {
		return reply{}, err
	}
	var told []store.Annotation
	var longest int
	for _, an := range all {
		switch {
		case !req.wants(an.Name):
		case req.maxSize >= 0 && int64(len(an.Value)) > req.maxSize:
			longest = max(longest, len(an.Value))
		default:
			told = append(told, an)
		}
	}
	if len(told) > 0 {
		s.openMetadata(req.name)
		for _, an := range told {
			s.metadataValue(an.Name, an.Value)
		}
		s.c.enc.Close()
		s.c.enc.CRLF()
	}
	if longest > 0 {
		return reply{code: imap.CodeMetadataLongEntries.Num(uint64(longest))}, nil
	}
	return reply{}, nil
}

// wants reports whether an entry is one of those asked for, or as deep below as wanted.
func (r *metadataRequest) wants(name string) bool {
	for _, e := range r.entries {
		below, ok := strings.CutPrefix(name, e)
		if ok && (below == "" || below[0] == '/' && (r.depth < 0 || r.depth == strings.Count(below, "/"))) {
			return true
		}
	}
	return false
}

// openMetadata begins a METADATA response with values. RFC 5464 §4.4.1
func (s *session) openMetadata(mailbox string) {
	s.c.enc.Raw("* METADATA ")
	s.c.enc.Mailbox(mailbox)
	s.c.enc.SP()
	s.c.enc.Open()
}

func (s *session) metadataValue(name string, value []byte) {
	s.c.enc.Item()
	s.c.enc.AString(name)
	s.c.enc.SP()
	s.c.enc.Bytes(string(value))
}

// setMetadataRequest has the arguments of SETMETADATA.
type setMetadataRequest struct {
	name    string
	changes []store.AnnotationChange
}

// parseSetMetadata parses a mailbox and entries with values.
//
//	setmetadata  = "SETMETADATA" SP mailbox SP entry-values
//	entry-values = "(" entry-value *(SP entry-value) ")"
//	entry-value  = entry SP value
//	value        = nstring / literal8
func parseSetMetadata(d *wire.Decoder) setMetadataRequest {
	defer d.In("setmetadata")()
	req := setMetadataRequest{name: parseMailbox(d)}
	d.NeedSP()
	d.NeedList(func() {
		name := needEntry(d, true)
		d.NeedSP()
		value := d.NeedNString8()
		an := store.Annotation{Name: name, Value: []byte(value.Value)}
		req.changes = append(req.changes, store.AnnotationChange{Annotation: an, Remove: !value.OK})
	})
	return req
}

// runSetMetadata sets and removes entries, all or none. RFC 5464 §4.3
func runSetMetadata(ctx context.Context, s *session, req setMetadataRequest) (reply, error) {
	id, err := s.annotated(req.name)
	if err != nil {
		return reply{}, err
	}
	err = s.update(ctx, func(tx *store.Tx) error { return tx.SetAnnotations(id, req.changes) })
	switch {
	case errors.Is(err, store.ErrTooLarge):
		return reply{}, imap.No(imap.CodeMetadataMaxSize.Num(store.MaxAnnotationSize), "a value is too large").With(err)
	case errors.Is(err, store.ErrLimit):
		return reply{}, imap.No(imap.CodeMetadataTooMany, "too many or too large entries").With(err)
	case err != nil:
		return reply{}, err
	}
	for _, c := range req.changes {
		s.own = append(s.own, store.Change{Kind: store.ChangeMetadata, MailboxID: id, Name: req.name, Entry: c.Name})
	}
	return reply{}, nil
}

// tellMetadata writes which entry another session has changed. RFC 5464 §4.4.2
func (s *session) tellMetadata(ch store.Change) {
	s.c.enc.Raw("* METADATA ")
	s.c.enc.Mailbox(ch.Name)
	s.c.enc.SP()
	s.c.enc.AString(ch.Entry)
	s.c.enc.CRLF()
}

// listMetadata writes values of a mailbox that LIST tells of, NIL for those it does not
// have. RFC 9590 §3
func (s *session) listMetadata(ctx context.Context, mb store.Mailbox, entries []string) error {
	all, err := s.account.Annotations(ctx, mb.ID)
	if err != nil {
		return err
	}
	values := make(map[string][]byte, len(all))
	for _, an := range all {
		values[an.Name] = an.Value
	}
	s.openMetadata(mb.Name)
	for _, e := range entries {
		if value, ok := values[e]; ok {
			s.metadataValue(e, value)
		} else {
			s.c.enc.Item()
			s.c.enc.AString(e)
			s.c.enc.Raw(" NIL")
		}
	}
	s.c.enc.Close()
	s.c.enc.CRLF()
	return nil
}
