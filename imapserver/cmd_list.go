package imapserver

import (
	"context"
	"slices"
	"strings"

	"mox/imap"
	"mox/imap/wire"
	"mox/store"
)

// LIST, LSUB, NAMESPACE. RFC 9051 §6.3.9, §6.3.10, RFC 3501 §6.3.9, with the extended
// syntax of RFC 5258, special uses of RFC 6154 and STATUS of RFC 5819. Special uses and
// whether there are children are always told: clients profit that do not ask. METADATA
// is that of RFC 9590.

// listRequest has the arguments of LIST.
type listRequest struct {
	extended  bool
	selection imap.ListSelect
	reference string
	patterns  []string
	ret       imap.ListReturn
}

// parseList parses the basic and the extended form.
//
//	list         = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat
//	               [SP list-return-opts]
//	mbox-or-pat  = list-mailbox / patterns
//	patterns     = "(" list-mailbox *(SP list-mailbox) ")"
func parseList(d *wire.Decoder) listRequest {
	var req listRequest
	d.NeedSP()
	if d.PeekIs('(') {
		req.extended = true
		parseListSelect(d, &req.selection)
		d.NeedSP()
	}
	req.reference = d.NeedMailbox()
	d.NeedSP()
	if d.PeekIs('(') {
		req.extended = true
		d.NeedList(func() { req.patterns = append(req.patterns, d.NeedListMailbox()) })
	} else {
		req.patterns = []string{d.NeedListMailbox()}
	}
	if d.TrySP() {
		req.extended = true
		parseListReturn(d, &req.ret)
	}
	return req
}

// parseListSelect parses selection options. RECURSIVEMATCH needs one that selects
// something. RFC 9051 §6.3.9.1
func parseListSelect(d *wire.Decoder, sel *imap.ListSelect) {
	defer d.In("list-select-opts")()
	d.NeedListOrEmpty(func() {
		switch d.NeedName() {
		case "SUBSCRIBED":
			sel.Subscribed = true
		case "REMOTE":
			sel.Remote = true
		case "RECURSIVEMATCH":
			sel.RecursiveMatch = true
		case "SPECIAL-USE":
			sel.SpecialUse = true
		default:
			d.Fail("unknown selection option")
		}
	})
	if sel.RecursiveMatch && !sel.Subscribed && !sel.SpecialUse {
		d.Fail("RECURSIVEMATCH needs another selection option")
	}
}

// parseListReturn parses return options. RFC 9051 §6.3.9.2
func parseListReturn(d *wire.Decoder, ret *imap.ListReturn) {
	defer d.In("list-return-opts")()
	if !d.TryName("RETURN") {
		d.Fail("expected RETURN")
		return
	}
	d.NeedSP()
	d.NeedListOrEmpty(func() {
		switch d.NeedName() {
		case "SUBSCRIBED":
			ret.Subscribed = true
		case "CHILDREN":
			ret.Children = true
		case "SPECIAL-USE":
			ret.SpecialUse = true
		case "METADATA":
			d.NeedSP()
			d.NeedList(func() { ret.Metadata = append(ret.Metadata, needEntry(d, false)) })
		case "STATUS":
			d.NeedSP()
			ret.Status = d.NeedStatusItems()
		default:
			d.Fail("unknown return option")
		}
	})
}

// listEntry is a LIST or LSUB response.
type listEntry struct {
	name      string
	attrs     []string
	childInfo []string // Of RECURSIVEMATCH. RFC 9051 §6.3.9.6
	oldName   string   // RFC 9051 §6.3.9.7
}

// writeList writes a LIST or LSUB response. RFC 9051 §7.3.1
func (s *session) writeList(kind string, e listEntry) {
	enc := s.c.enc
	enc.Raw("* " + kind + " ")
	enc.Words(e.attrs)
	enc.Raw(` "/" `)
	enc.Mailbox(e.name)
	if len(e.childInfo) > 0 {
		enc.Raw(` ("CHILDINFO" ("` + strings.Join(e.childInfo, `" "`) + `"))`)
	}
	if e.oldName != "" {
		enc.Raw(` ("OLDNAME" (`)
		enc.Mailbox(e.oldName)
		enc.Raw("))")
	}
	enc.CRLF()
}

// mailboxAttrs returns the attributes of a mailbox, but for subscription.
func mailboxAttrs(t *store.Tree, mb store.Mailbox) []string {
	attrs := make([]string, 0, 3)
	if t.HasChildren(mb.Name) {
		attrs = append(attrs, imap.AttrHasChildren)
	} else {
		attrs = append(attrs, imap.AttrHasNoChildren)
	}
	for _, u := range specialUses {
		if mb.SpecialUse&u.use != 0 {
			attrs = append(attrs, u.name)
		}
	}
	return attrs
}

func runList(ctx context.Context, s *session, req listRequest) (reply, error) {
	if !req.extended && req.patterns[0] == "" {
		// A request for the delimiter. RFC 9051 §6.3.9
		s.writeList("LIST", listEntry{attrs: []string{imap.AttrNoSelect}})
		return reply{}, nil
	}
	s.enableByStatus(req.ret.Status)
	l := lister{listRequest: req, tree: s.account.Tree()}
	for _, p := range req.patterns {
		if p != "" { // Ignored in the extended form.
			l.compiled = append(l.compiled, imap.NewPattern(req.reference, p))
		}
	}
	l.collect()
	for _, n := range l.names() {
		e, ok := l.entry(n)
		if !ok {
			continue
		}
		s.writeList("LIST", e)
		mb, exists := l.tree.ByName(n)
		if exists && len(req.ret.Status) > 0 && l.meets(n) {
			s.writeStatus(mb, req.ret.Status)
		}
		if exists && len(req.ret.Metadata) > 0 && l.meets(n) {
			if err := s.listMetadata(ctx, mb, req.ret.Metadata); err != nil {
				return reply{}, err
			}
		}
	}
	return reply{}, nil
}

// lister finds what LIST returns.
type lister struct {
	listRequest
	tree     *store.Tree
	compiled []imap.Pattern

	// below has the names that RECURSIVEMATCH may add: those with a name below that meets
	// the selection options. The value says whether one of these does not match the
	// patterns.
	below map[string]bool
}

// collect finds the names that have others below them that meet the selection options.
func (l *lister) collect() {
	if !l.selection.RecursiveMatch {
		return
	}
	l.below = map[string]bool{}
	for _, n := range l.candidates() {
		if !l.meets(n) {
			continue
		}
		unmatched := !l.matches(n)
		for p := imap.MailboxParent(n); p != ""; p = imap.MailboxParent(p) {
			l.below[p] = l.below[p] || unmatched
		}
	}
}

// candidates returns the names that can meet the selection options, in order.
func (l *lister) candidates() []string {
	if l.selection.Subscribed {
		return l.tree.Subscriptions()
	}
	mailboxes := l.tree.Mailboxes()
	names := make([]string, len(mailboxes))
	for i, mb := range mailboxes {
		names[i] = mb.Name
	}
	return names
}

// names returns the names to be looked at, in order.
func (l *lister) names() []string {
	names := l.candidates()
	if len(l.below) == 0 {
		return names
	}
	names = slices.Clone(names)
	for n := range l.below {
		names = append(names, n)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// meets reports whether a name meets the selection options.
func (l *lister) meets(name string) bool {
	if l.selection.Subscribed && !l.tree.Subscribed(name) {
		return false
	}
	mb, exists := l.tree.ByName(name)
	if l.selection.SpecialUse && mb.SpecialUse == 0 {
		return false
	}
	return exists || l.selection.Subscribed
}

// matches reports whether a name matches one of the patterns.
func (l *lister) matches(name string) bool {
	return slices.ContainsFunc(l.compiled, func(p imap.Pattern) bool { return p.Match(name) })
}

// entry returns the response for a name, and false if there is none. RFC 9051 §6.3.9.3
func (l *lister) entry(name string) (listEntry, bool) {
	unmatched, parent := l.below[name]
	if !l.matches(name) || !l.meets(name) && !unmatched {
		return listEntry{}, false
	}
	e := listEntry{name: name}
	mb, exists := l.tree.ByName(name)
	if exists {
		e.attrs = mailboxAttrs(l.tree, mb)
	} else {
		e.attrs = []string{imap.AttrNonExistent}
		if l.ret.Children {
			attr := imap.AttrHasNoChildren
			if l.tree.HasChildren(name) {
				attr = imap.AttrHasChildren
			}
			e.attrs = append(e.attrs, attr)
		}
	}
	if (l.selection.Subscribed || l.ret.Subscribed) && l.tree.Subscribed(name) {
		e.attrs = append(e.attrs, imap.AttrSubscribed)
	}
	if parent {
		if l.selection.Subscribed {
			e.childInfo = append(e.childInfo, "SUBSCRIBED")
		}
		if l.selection.SpecialUse {
			e.childInfo = append(e.childInfo, "SPECIAL-USE")
		}
	}
	return e, true
}

// parseLSub parses the arguments of LSUB.
//
//	lsub = "LSUB" SP mailbox SP list-mailbox
func parseLSub(d *wire.Decoder) listRequest {
	var req listRequest
	d.NeedSP()
	req.reference = d.NeedMailbox()
	d.NeedSP()
	req.patterns = []string{d.NeedListMailbox()}
	return req
}

// runLSub lists subscribed names. "A special situation occurs when using LSUB with the %
// wildcard": a name that is not subscribed to and has subscribed ones below it is listed
// with \NoSelect. RFC 3501 §6.3.9
func runLSub(_ context.Context, s *session, req listRequest) (reply, error) {
	t := s.account.Tree()
	pattern := imap.NewPattern(req.reference, req.patterns[0])
	parents := strings.HasSuffix(req.patterns[0], "%")
	told := map[string]bool{}
	for _, n := range t.Subscriptions() {
		if parents {
			s.lsubParents(t, pattern, n, told)
		}
		if !pattern.Match(n) {
			continue
		}
		e := listEntry{name: n}
		if mb, ok := t.ByName(n); ok {
			e.attrs = mailboxAttrs(t, mb)
		}
		s.writeList("LSUB", e)
	}
	return reply{}, nil
}

// lsubParents lists those names above a subscribed one that match and are not
// subscribed to themselves, each once.
func (s *session) lsubParents(t *store.Tree, pattern imap.Pattern, name string, told map[string]bool) {
	for p := imap.MailboxParent(name); p != ""; p = imap.MailboxParent(p) {
		if !told[p] && !t.Subscribed(p) && pattern.Match(p) {
			told[p] = true
			s.writeList("LSUB", listEntry{name: p, attrs: []string{imap.AttrNoSelect}})
		}
	}
}

// runNamespace tells that there is one namespace, of the user. RFC 9051 §6.3.10
func runNamespace(_ context.Context, s *session, _ struct{}) (reply, error) {
	s.c.enc.Raw(`* NAMESPACE (("" "/")) NIL NIL` + "\r\n")
	return reply{}, nil
}
