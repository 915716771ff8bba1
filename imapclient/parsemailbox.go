package imapclient

import (
	"mox/imap"
)

// list parses what follows LIST or LSUB.
//
//	mailbox-list = "(" [mbx-list-flags] ")" SP (DQUOTE QUOTED-CHAR DQUOTE / nil) SP mailbox
//	               [SP mbox-list-extended]
func (p *parser) list(lsub bool) List {
	defer p.In("mailbox-list")()
	l := List{LSub: lsub}
	p.NeedSP()
	p.list0(func() {
		p.NeedByte('\\')
		l.Attrs = append(l.Attrs, `\`+p.NeedAtom())
	})
	p.NeedSP()
	l.Delimiter = p.delimiter()
	p.NeedSP()
	l.Mailbox = p.NeedMailbox()
	if p.TrySP() {
		p.list0(func() { p.listExtended(&l) })
	}
	return l
}

// delimiter parses a hierarchy delimiter, 0 for NIL.
func (p *parser) delimiter() byte {
	if p.TryNIL() {
		return 0
	}
	if !p.PeekIs('"') {
		p.Fail("expected hierarchy delimiter")
		return 0
	}
	s := p.NeedString()
	if len(s) != 1 {
		p.Fail("expected one character before this")
		return 0
	}
	return s[0]
}

// listExtended parses mbox-list-extended-item. RFC 5258 §6
func (p *parser) listExtended(l *List) {
	name := upper(p.NeedAString())
	p.NeedSP()
	switch name {
	case "CHILDINFO":
		p.list1(func() { l.ChildInfo = append(l.ChildInfo, upper(p.NeedString())) })
	case "OLDNAME":
		p.NeedByte('(')
		l.OldName = imap.Str(p.NeedMailbox())
		p.NeedByte(')')
	default:
		l.Extended = append(l.Extended, name)
		p.extValue(0)
	}
}

// mailboxStatus parses what follows STATUS.
//
//	"STATUS" SP mailbox SP "(" [status-att-list] ")"
func (p *parser) mailboxStatus() MailboxStatus {
	defer p.In("status-att-list")()
	st := MailboxStatus{Items: map[imap.StatusItem]uint64{}}
	p.NeedSP()
	st.Mailbox = p.NeedMailbox()
	p.NeedSP()
	p.list0(func() {
		item, ok := imap.ParseStatusItem(p.NeedName())
		if !ok {
			p.Fail("unknown status item before this")
			return
		}
		if _, dup := st.Items[item]; dup {
			p.Fail("duplicate status item before this")
		}
		p.NeedSP()
		switch item {
		case imap.StatusMailboxID:
			p.NeedByte('(')
			st.ID = p.NeedObjectID()
			p.NeedByte(')')
		case imap.StatusUIDNext, imap.StatusUIDValidity:
			st.Items[item] = uint64(p.NeedNZNumber())
		case imap.StatusSize, imap.StatusDeletedStorage, imap.StatusHighestModSeq:
			st.Items[item] = uint64(p.NeedNumber64())
		case imap.StatusAppendLimit:
			if !p.TryNIL() {
				st.Items[item] = uint64(p.NeedNumber64())
			}
		default:
			st.Items[item] = uint64(p.NeedNumber())
		}
	})
	return st
}

// namespace parses what follows NAMESPACE.
//
//	namespace-response = "NAMESPACE" SP namespace SP namespace SP namespace
func (p *parser) namespace() Namespace {
	defer p.In("namespace-response")()
	var n Namespace
	for _, l := range []*[]NamespaceDescr{&n.Personal, &n.Other, &n.Shared} {
		p.NeedSP()
		*l = p.namespaces()
	}
	return n
}

// namespaces parses a namespace.
//
//	namespace       = nil / "(" 1*namespace-descr ")"
//	namespace-descr = "(" string SP (DQUOTE QUOTED-CHAR DQUOTE / nil)
//	                  [namespace-response-extensions] ")"
func (p *parser) namespaces() []NamespaceDescr {
	if p.TryNIL() {
		return nil
	}
	var l []NamespaceDescr
	p.NeedByte('(')
	for first := true; first || p.PeekIs('('); first = false {
		var d NamespaceDescr
		p.NeedByte('(')
		d.Prefix = p.NeedMailbox()
		p.NeedSP()
		d.Delimiter = p.delimiter()
		for p.TrySP() {
			p.NeedString()
			p.NeedSP()
			p.list1(func() { p.NeedString() })
		}
		p.NeedByte(')')
		l = append(l, d)
	}
	p.NeedByte(')')
	return l
}

// quota parses what follows QUOTA. An empty list is taken, as RFC 2087 §5.1 had it.
//
//	quota-response = "QUOTA" SP quota-root-name SP quota-list
func (p *parser) quota() Quota {
	defer p.In("quota-response")()
	var q Quota
	p.NeedSP()
	q.Root = p.NeedAString()
	p.NeedSP()
	p.list0(func() {
		var r QuotaResource
		r.Name = upper(p.NeedAtom())
		p.NeedSP()
		r.Usage = p.NeedNumber64()
		p.NeedSP()
		r.Limit = p.NeedNumber64()
		q.Resources = append(q.Resources, r)
	})
	return q
}

// quotaRoot parses what follows QUOTAROOT.
//
//	quotaroot-response = "QUOTAROOT" SP mailbox *(SP quota-root-name)
func (p *parser) quotaRoot() QuotaRoot {
	var q QuotaRoot
	p.NeedSP()
	q.Mailbox = p.NeedMailbox()
	for p.TrySP() {
		q.Roots = append(q.Roots, p.NeedAString())
	}
	return q
}

// id parses what follows ID.
//
//	id-response     = "ID" SP id-params-list
//	id-params-list  = "(" *(string SP nstring) ")" / nil
func (p *parser) id() ID {
	defer p.In("id-response")()
	p.NeedSP()
	if p.TryNIL() {
		return nil
	}
	id := ID{}
	p.list0(func() {
		name := p.NeedString()
		p.NeedSP()
		if _, dup := id[name]; dup {
			p.Fail("duplicate field before this") // RFC 2971 §3.3
		}
		id[name] = p.NeedNString()
	})
	return id
}

// metadata parses what follows METADATA.
//
//	metadata-resp = "METADATA" SP mailbox SP (entry-values / entry-list)
func (p *parser) metadata() Metadata {
	defer p.In("metadata-resp")()
	var m Metadata
	p.NeedSP()
	m.Mailbox = p.NeedMailbox()
	p.NeedSP()
	if !p.PeekIs('(') {
		for {
			m.Changed = append(m.Changed, p.NeedAString())
			if !p.TrySP() {
				return m
			}
		}
	}
	p.list1(func() {
		var e MetadataEntry
		e.Name = p.NeedAString()
		p.NeedSP()
		e.Value = p.NeedNString8()
		m.Entries = append(m.Entries, e)
	})
	return m
}
