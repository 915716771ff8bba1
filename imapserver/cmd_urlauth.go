package imapserver

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"mox/imap"
	"mox/imap/wire"
	"mox/store"
)

// RESETKEY, GENURLAUTH, URLFETCH: URLs that let others read a message, or a part of one.
// RFC 4467
//
// The key of a mailbox is a note of the account, by mailbox id: a mailbox that is made
// anew with the same name has another one. Nobody here is a submission entity, so URLs for
// one ("submit+") can be made and not used.

const (
	urlMechanism = "INTERNAL"
	urlKeyNote   = "urlauth:" // And the mailbox id.
	urlKeySize   = 32
	// urlTokenVersion begins a token, and names the algorithm. RFC 4467 §2.4.1
	urlTokenVersion = "01"
)

var codeURLMech = imap.CodeURLMech + imap.Code(" "+urlMechanism)

// resetKeyRequest has the arguments of RESETKEY.
type resetKeyRequest struct {
	name       string // Empty for all mailboxes.
	mechanisms []string
}

// parseResetKey parses:
//
//	resetkey = "RESETKEY" [SP mailbox *(SP mechanism)]
func parseResetKey(d *wire.Decoder) (req resetKeyRequest) {
	if !d.TrySP() {
		return req
	}
	req.name = d.NeedMailbox()
	for d.TrySP() && len(req.mechanisms) < maxURLs {
		req.mechanisms = append(req.mechanisms, d.NeedName())
	}
	return req
}

// runResetKey makes all URLs void that were authorized with a key.
func runResetKey(ctx context.Context, s *session, req resetKeyRequest) (reply, error) {
	for _, m := range req.mechanisms {
		if m != urlMechanism {
			return reply{}, imap.No("", "unknown mechanism")
		}
	}
	s.c.srv.urlKeys.Lock()
	defer s.c.srv.urlKeys.Unlock()
	if req.name == "" {
		names, err := s.account.Notes(ctx, urlKeyNote)
		if err != nil {
			return reply{}, err
		}
		err = s.update(ctx, func(tx *store.Tx) (err error) {
			for _, name := range names {
				err = errors.Join(err, tx.SetNote(name, nil))
			}
			return err
		})
		return reply{text: "all keys removed"}, err
	}
	mb, err := s.mailbox(req.name)
	if err != nil {
		return reply{}, err
	}
	if _, err := s.newURLKey(ctx, mb.ID); err != nil {
		return reply{}, err
	}
	return reply{code: codeURLMech}, nil
}

func urlKeyName(mailboxID int64) string { return urlKeyNote + strconv.FormatInt(mailboxID, 10) }

// newURLKey gives a mailbox another key. The caller holds urlKeys.
func (s *session) newURLKey(ctx context.Context, mailboxID int64) ([]byte, error) {
	key := make([]byte, urlKeySize)
	rand.Read(key)
	err := s.account.Update(ctx, func(tx *store.Tx) error { return tx.SetNote(urlKeyName(mailboxID), key) })
	return key, err
}

// urlToken returns the token of a URL. RFC 4467 §2.5
func urlToken(key []byte, rump string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(rump))
	return urlTokenVersion + hex.EncodeToString(mac.Sum(nil))
}

// genURL is a URL to authorize.
type genURL struct{ rump, mechanism string }

// parseGenURLAuth parses:
//
//	genurlauth = "GENURLAUTH" 1*(SP url-rump SP mechanism)
func parseGenURLAuth(d *wire.Decoder) (l []genURL) {
	for {
		var g genURL
		d.NeedSP()
		g.rump = d.NeedAString()
		d.NeedSP()
		g.mechanism = d.NeedName()
		if l = append(l, g); d.AtEnd() || d.Err() != nil {
			return l
		}
		if len(l) == maxURLs {
			d.Fail("too many urls")
			return l
		}
	}
}

// runGenURLAuth authorizes URLs of messages of the account.
func runGenURLAuth(ctx context.Context, s *session, urls []genURL) (reply, error) {
	full := make([]string, len(urls))
	for i, g := range urls {
		if g.mechanism != urlMechanism {
			return reply{}, imap.Bad("", "unknown mechanism")
		}
		u, err := wire.ParseURL(g.rump)
		if err != nil {
			return reply{}, imap.Bad("", "not a url of a message").With(err)
		}
		mb, err := s.checkRump(u)
		if err != nil {
			return reply{}, err
		}
		key, err := s.urlKey(ctx, mb.ID)
		if err != nil {
			return reply{}, err
		}
		full[i] = g.rump + ":" + urlMechanism + ":" + urlToken(key, g.rump)
	}
	s.c.enc.Raw("* GENURLAUTH")
	for _, f := range full {
		s.c.enc.SP()
		s.c.enc.AString(f)
	}
	s.c.enc.CRLF()
	return reply{}, nil
}

// checkRump checks a URL to be authorized, and returns its mailbox.
func (s *session) checkRump(u wire.URL) (store.Mailbox, error) {
	switch account, ok := s.c.srv.urlOwner(u); {
	case u.Access == "" || u.Mechanism != "":
		return store.Mailbox{}, imap.Bad("", "url must end in an access identifier")
	case !ok || account != s.account.Name():
		return store.Mailbox{}, imap.Bad("", "url must have your user name and this server")
	}
	name, err := imap.ParseMailboxName(u.Mailbox)
	if err != nil {
		return store.Mailbox{}, imap.Bad("", "invalid mailbox name")
	}
	mb, err := s.mailbox(name)
	if err != nil || u.UIDValidity != 0 && u.UIDValidity != mb.UIDValidity {
		return store.Mailbox{}, imap.Bad("", "no such mailbox")
	}
	return mb, nil
}

// urlOwner returns the account that a URL is of.
func (s *Server) urlOwner(u wire.URL) (account string, ok bool) {
	host, _, _ := strings.Cut(u.Host, ":")
	if !u.Absolute || u.User == "" || !strings.EqualFold(host, s.opts.Hostname) {
		return "", false
	}
	return s.opts.Owner(u.User)
}

// urlKey returns the key of a mailbox, which is made if there is none.
func (s *session) urlKey(ctx context.Context, mailboxID int64) ([]byte, error) {
	s.c.srv.urlKeys.Lock()
	defer s.c.srv.urlKeys.Unlock()
	key, err := s.account.Note(ctx, urlKeyName(mailboxID))
	if key == nil && err == nil {
		key, err = s.newURLKey(ctx, mailboxID)
	}
	return key, err
}

// parseURLFetch parses:
//
//	urlfetch = "URLFETCH" 1*(SP url-full)
func parseURLFetch(d *wire.Decoder) (l []string) {
	for {
		d.NeedSP()
		if l = append(l, d.NeedAString()); d.AtEnd() || d.Err() != nil {
			return l
		}
		if len(l) == maxURLs {
			d.Fail("too many urls")
			return l
		}
	}
}

// runURLFetch sends what URLs refer to that the user may read, and NIL for others,
// whatever the reason.
func runURLFetch(ctx context.Context, s *session, urls []string) (reply, error) {
	enc := s.c.enc
	enc.Raw("* URLFETCH")
	for _, text := range urls {
		enc.SP()
		enc.AString(text)
		enc.SP()
		if err := s.writeURL(ctx, text); err != nil {
			s.c.log.Debug("url cannot be fetched", "err", err)
			enc.NIL()
		}
	}
	enc.CRLF()
	return reply{}, nil
}

// writeURL writes what a URL refers to, or nothing and returns an error.
func (s *session) writeURL(ctx context.Context, text string) error {
	u, err := wire.ParseURL(text)
	if err != nil {
		return err
	}
	if !s.mayFetch(u) {
		return errURL
	}
	name, ok := s.c.srv.urlOwner(u)
	if !ok {
		checkURLToken(nil, u)
		return errURL
	}
	account, err := s.c.srv.opts.Store.Account(ctx, name)
	if err != nil {
		checkURLToken(nil, u)
		return err
	}
	defer account.Release()
	owner := &session{c: s.c, account: account}
	var key []byte
	if name, err := imap.ParseMailboxName(u.Mailbox); err == nil {
		if mb, err := owner.mailbox(name); err == nil {
			if key, err = account.Note(ctx, urlKeyName(mb.ID)); err != nil {
				return err
			}
		}
	}
	if !checkURLToken(key, u) {
		return errURL
	}
	part, err := owner.openURL(ctx, u)
	if err != nil {
		return err
	}
	defer part.close()
	s.c.enc.Literal(part.size, part.binary, part.r)
	return nil
}

// mayFetch reports whether the user, at this time, is one that the URL is for. RFC 4467 §3
func (s *session) mayFetch(u wire.URL) bool {
	if u.Mechanism != urlMechanism || !u.Expire.IsZero() && s.now().After(u.Expire) {
		return false
	}
	kind, user, _ := strings.Cut(u.Access, "+")
	switch kind {
	case "authuser", "anonymous":
		return true
	case "user":
		account, ok := s.c.srv.opts.Owner(user)
		return ok && account == s.account.Name()
	}
	return false
}

func (s *session) now() time.Time { return s.c.srv.opts.Now() }

// checkURLToken checks the token of a URL. Without a key it takes as long, and fails: "This
// prevents timing attacks aimed at identifying mailbox names." RFC 4467 §6
func checkURLToken(key []byte, u wire.URL) bool {
	known := len(key) > 0
	if !known {
		key = make([]byte, urlKeySize)
		rand.Read(key)
	}
	return hmac.Equal([]byte(urlToken(key, u.Rump)), []byte(strings.ToLower(u.Token))) && known
}
