package imapserver

import (
	"context"
	"strings"

	"mox/imap"
	"mox/imap/wire"
	"mox/internal/search"
	"mox/store"
)

// ESEARCH: SEARCH in several mailboxes. RFC 7377

// filterSubtreeOne is a mailbox and the ones directly below it. RFC 7377 §2.2
const filterSubtreeOne filter = "SUBTREE-ONE"

// esearchRequest has the arguments of ESEARCH.
type esearchRequest struct {
	searchRequest
	sources []eventGroup // Without events: mailboxes. None is the selected one.
	names   int          // Mailboxes named.
}

// parseESearch parses source options, result options, charset and keys.
//
//	esearch = "ESEARCH" [SP esearch-source-opts] [SP search-return-opts] SP search-program
func parseESearch(d *wire.Decoder) *esearchRequest {
	req := &esearchRequest{}
	req.uid = true
	d.NeedSP()
	if d.TryName("IN") {
		d.NeedSP()
		req.parseSources(d)
		d.NeedSP()
	}
	req.parseReturn(d)
	req.setProgram(d.NeedSearchProgram())
	if !req.ret.Given {
		req.ret.Given, req.ret.All = true, true
	}
	return req
}

// parseSources parses which mailboxes are searched. No scope options are defined.
//
//	esearch-source-opts    = "IN" SP "(" source-mbox [SP "(" scope-options ")"] ")"
//	source-mbox            = filter-mailboxes *(SP filter-mailboxes)
//	filter-mailboxes-other =/ "subtree-one" SP one-or-more-mailbox
func (r *esearchRequest) parseSources(d *wire.Decoder) {
	defer d.In("source-mbox")()
	d.NeedList(func() {
		g := eventGroup{filter: filter(d.NeedName())}
		switch g.filter {
		case filterSelected, filterInboxes, filterPersonal, filterSubscribed:
		case filterSubtree, filterSubtreeOne, filterMailboxes:
			d.NeedSP()
			g.names = parseMailboxes(d)
			r.names += len(g.names)
		default:
			d.Fail("unknown mailboxes")
		}
		r.sources = append(r.sources, g)
	})
}

// onlySelected reports whether the selected mailbox is all that is to be searched.
func (r *esearchRequest) onlySelected() bool {
	for _, g := range r.sources {
		if g.filter != filterSelected {
			return false
		}
	}
	return true
}

// usesSelected reports whether there must be a selected mailbox.
func (r *esearchRequest) usesSelected() bool {
	for _, g := range r.sources {
		if g.filter == filterSelected {
			return true
		}
	}
	return len(r.sources) == 0 || r.ret.Update
}

// matches reports whether a mailbox is to be searched.
func (r *esearchRequest) matches(s *session, t *store.Tree, mb *store.Mailbox) bool {
	if len(r.sources) == 0 {
		return s.sel.id == mb.ID
	}
	for i := range r.sources {
		g := &r.sources[i]
		switch {
		case g.filter == filterSelected && s.sel.id == mb.ID:
			return true
		case g.filter == filterSubtreeOne:
			for _, name := range g.names {
				if rest, below := strings.CutPrefix(mb.Name, name+"/"); name == mb.Name || below && !strings.Contains(rest, "/") {
					return true
				}
			}
		case g.matches(t, mb.Name):
			return true
		}
	}
	return false
}

func runESearch(ctx context.Context, s *session, req *esearchRequest) (reply, error) {
	switch {
	case req.usesSelected() && s.sel == nil:
		return reply{}, imap.Bad("", "no mailbox is selected") // RFC 7377 §2.2
	case req.ret.Save && !req.onlySelected():
		return reply{}, imap.Bad("", "results of the selected mailbox only can be saved")
	case req.names > maxNotifyNames:
		return reply{}, imap.No(imap.CodeLimit, "too many mailboxes")
	}
	if err := s.checkProgram(&req.program, false); err != nil {
		return reply{}, err
	}
	if req.ret.Update {
		if err := s.sel.checkUpdate(req.ret); err != nil {
			return reply{}, err
		}
	}
	if req.modSeq {
		s.enableCondStore()
	}
	updated := !req.ret.Update
	t := s.account.Tree()
	for _, mb := range t.Mailboxes() {
		if !req.matches(s, t, &mb) {
			continue
		}
		var err error
		if s.sel != nil && s.sel.id == mb.ID {
			updated = true
			err = s.sel.esearch(ctx, req, &mb)
		} else {
			err = s.esearch(ctx, req, &mb)
		}
		if err != nil {
			return reply{}, err
		}
		s.c.flush()
		if err := s.c.enc.Err(); err != nil {
			return reply{}, err
		}
	}
	if !updated {
		s.sel.noUpdate(s.c.tag, "the selected mailbox was not searched")
	}
	return reply{keepsSeqs: s.sel != nil && req.program.Key.UsesSeqs()}, nil
}

// esearch searches the selected mailbox as the client knows it.
func (s *selected) esearch(ctx context.Context, req *esearchRequest, mb *store.Mailbox) error {
	latest, err := s.latest(ctx)
	if err != nil {
		return err
	}
	saved := s.saved
	if req.ret.Save {
		s.saved = nil // What it is if the search fails.
	}
	res, err := s.search(ctx, &req.searchRequest, search.Scope{Index: s.known.With(latest), Saved: saved, AnySequence: true})
	if err != nil {
		if req.ret.Save && protocolError(err).Type == imap.TypeBAD {
			s.saved = saved
		}
		return err
	}
	if req.ret.Save {
		s.saved = res.uids(res.positions(req.ret))
	}
	s.writeFound(res, req, mb)
	s.openContext(&req.searchRequest, res, saved, true)
	return nil
}

// esearch searches a mailbox that is not selected.
func (s *session) esearch(ctx context.Context, req *esearchRequest, mb *store.Mailbox) error {
	ix, err := s.account.Index(ctx, mb.ID)
	if err == store.ErrNoMailbox {
		return nil // Gone meanwhile.
	} else if err != nil {
		return err
	}
	r := req.searchRequest
	r.ret.Update = false
	res, err := s.search(ctx, &r, search.Scope{Index: ix, AnySequence: true})
	if err == nil {
		s.writeFound(res, req, mb)
	}
	return err
}

// writeFound writes what was found in a mailbox, if that is anything. RFC 7377 §2.1
func (s *session) writeFound(res searchResult, req *esearchRequest, mb *store.Mailbox) {
	if len(res.all)+len(res.partial) > 0 || res.min >= 0 || res.max >= 0 {
		if res.any(req.ret) {
			s.writeESearch(res, &req.searchRequest, mb)
		}
	}
}
