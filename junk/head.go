package junk

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"mox/dns"
	"mox/message"
	"mox/publicsuffix"
)

// A headReader adds tokens of the header of a message: of what the sender wrote, not
// of what servers and lists on the way have added, which says more about where a
// message was read than about what it is.
type headReader struct {
	b *builder
	h *message.Header
}

// presence are the fields of which it is told whether there is one: those that come
// from the program that wrote the message.
var presence = []string{
	"Reply-To", "Cc", "User-Agent", "X-Mailer", "X-MimeOLE", "Organization", "MIME-Version", "Content-Type",
	"X-Priority", "Importance", "Thread-Index", "X-Accept-Language", "In-Reply-To", "References",
	"Disposition-Notification-To", "Comments", "Content-Language", "Autocrypt", "DKIM-Signature", "List-Unsubscribe-Post",
}

func (d *headReader) read() {
	d.from()
	d.replyTo()
	d.subject()
	d.recipients()
	d.words("mailer:", "X-Mailer")
	d.words("mailer:", "User-Agent")
	d.words("organization:", "Organization")
	for _, name := range []string{"X-Priority", "Importance"} {
		if v := d.h.Value(name); v != "" {
			d.b.addString(kindHead, "header:", message.Fold(name+"="+v[:min(len(v), 20)]))
		}
	}
	for _, name := range presence {
		if _, ok := d.h.Get(name); ok {
			d.b.addString(kindHead, "header:", strings.ToLower(name))
		}
	}
	d.messageID()
}

// words adds the words of a field.
func (d *headReader) words(prefix, name string) {
	if v := d.value(name); v != "" {
		w := wordReader{b: d.b, prefix: prefix}
		w.bytes([]byte(v))
	}
}

// value returns the decoded value of a field, up to a limit.
func (d *headReader) value(name string) string {
	f, ok := d.h.Get(name)
	if !ok {
		return ""
	}
	if len(f.Value) > MaxFieldText {
		f.Value = f.Value[:MaxFieldText]
	}
	return message.DecodeText(f.Unfolded())
}

// addresses returns the addresses of a field, up to a limit.
func (d *headReader) addresses(name string) []message.Address {
	f, ok := d.h.Get(name)
	if !ok {
		return nil
	}
	v := f.Value
	if len(v) > MaxFieldText {
		v = v[:MaxFieldText]
	}
	l := message.ParseAddressList(v)
	return l[:min(len(l), MaxAddresses)]
}

func (d *headReader) from() {
	l := d.addresses("From")
	if len(l) == 0 || l[0].Kind != message.KindMailbox || l[0].Host == "" {
		d.b.sign("no address in From")
	}
	if len(l) > 1 {
		d.b.sign("several addresses in From")
	}
	for i, a := range l {
		host := message.Fold(a.Host)
		org := organization(host)
		if i == 0 {
			d.b.org = org
		}
		if host != "" {
			d.b.addString(kindHead, "from:", message.Fold(a.Mailbox)+"@"+host)
			d.b.addString(kindHead, "from:", org)
			if host != org {
				d.b.addString(kindHead, "from:", host)
			}
			d.b.addString(kindHead, "from:", "."+host[strings.LastIndexByte(host, '.')+1:])
		}
		if digits(a.Mailbox) > 2 {
			d.b.sign("digits in From")
		}
		name := a.DisplayName()
		if len(name) > MaxFieldText {
			name = name[:MaxFieldText]
		}
		d.displayName(name, a, org)
	}
}

// displayName adds the words of a name, and whether it claims to be from elsewhere.
func (d *headReader) displayName(name string, a message.Address, org string) {
	if name == "" {
		d.b.sign("no name in From")
		return
	}
	w := wordReader{b: d.b, prefix: "name:"}
	w.bytes([]byte(name))
	for f := range strings.FieldsFuncSeq(name, func(c rune) bool { return unicode.IsSpace(c) || strings.ContainsRune(`<>()[]",;:`, c) }) {
		if _, after, ok := strings.Cut(f, "@"); ok {
			f = after
		}
		if claimed, ok := claimedDomain(f); ok && claimed != org {
			d.b.sign("name claims another domain")
			return
		}
	}
}

func (d *headReader) replyTo() {
	for _, a := range d.addresses("Reply-To") {
		if a.Host == "" {
			continue
		}
		org := organization(message.Fold(a.Host))
		d.b.addString(kindHead, "reply-to:", org)
		if org != d.b.org {
			d.b.sign("Reply-To elsewhere")
		}
		d.b.addString(kindHead, "reply-to:", message.Fold(a.Mailbox+"@"+a.Host))
	}
}

func (d *headReader) subject() {
	s := d.value("Subject")
	if strings.TrimSpace(s) == "" {
		d.b.sign("no subject")
		return
	}
	text := s
	if d.isList() {
		text = cutTag(s)
	}
	w := wordReader{b: d.b, prefix: "subject:", pairs: true}
	w.bytes([]byte(text))
	if w.total > 1 && w.shouts == w.total {
		d.b.sign("subject in capitals")
	}
	if strings.Contains(s, "      ") {
		d.b.sign("gap in subject")
	}
	if last, _ := utf8.DecodeLastRuneInString(s); last == '!' || last == '?' {
		d.b.sign("subject ends in " + string(last))
	}
	if _, isReply := message.BaseSubject(s); isReply {
		_, a := d.h.Get("In-Reply-To")
		_, b := d.h.Get("References")
		if a || b {
			d.b.sign("reply")
		} else {
			d.b.sign("reply to nothing")
		}
	}
}

// recipients adds how many there are, not who: that is the account's own address,
// and those of lists.
func (d *headReader) recipients() {
	to, cc := d.addresses("To"), d.addresses("Cc")
	n := 0
	for _, a := range to {
		if a.Kind == message.KindMailbox {
			n++
		}
	}
	switch {
	case n == 0:
		d.b.sign("no recipient in To")
	case n+len(cc) > 5:
		d.b.sign("many recipients")
	}
}

// messageID adds whether the identifier is from where the message claims to be from.
func (d *headReader) messageID() {
	v := message.CanonicalMessageID(d.h.Value("Message-Id"))
	_, host, ok := strings.Cut(v, "@")
	switch {
	case v == "":
		d.b.sign("no Message-ID")
	case !ok:
		d.b.sign("odd Message-ID")
	case organization(host) == d.b.org:
		d.b.sign("Message-ID of the sender")
	}
}

// organization returns the organisational domain of a host name, or the name itself if
// it has none.
func organization(host string) string {
	host = strings.TrimSuffix(host, ".")
	d, err := dns.ParseDomain(host)
	if err != nil {
		return host[:min(len(host), 100)]
	}
	if o, ok := publicsuffix.Organization(d, true); ok {
		return o.Name()
	}
	return host
}

// claimedDomain returns the organisational domain that a word in text for people
// stands for, if it looks like a host name.
func claimedDomain(s string) (string, bool) {
	s = strings.Trim(message.Fold(s), ".'*!?")
	if len(s) < 4 || len(s) > 255 || !strings.Contains(s, ".") {
		return "", false
	}
	for _, c := range []byte(s) {
		if c != '.' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && c < 0x80 {
			return "", false
		}
	}
	d, err := dns.ParseDomain(s)
	if err != nil {
		return "", false
	}
	if _, section := publicsuffix.Suffix(d, false); section != publicsuffix.ICANN {
		return "", false
	}
	o, ok := publicsuffix.Organization(d, true)
	return o.Name(), ok
}

func digits(s string) int {
	n := 0
	for _, c := range []byte(s) {
		if '0' <= c && c <= '9' {
			n++
		}
	}
	return n
}

// isList says whether the message came over a mailing list, by the fields that only
// software of lists adds.
func (d *headReader) isList() bool {
	for _, name := range []string{"List-Id", "List-Post", "Mailing-List", "X-Mailing-List", "X-Mailman-Version"} {
		if _, ok := d.h.Get(name); ok {
			return true
		}
	}
	return false
}

// cutTag takes the name of a list in brackets out of a subject.
func cutTag(s string) string {
	open := strings.IndexByte(s, '[')
	if open < 0 || open > 12 {
		return s
	}
	n := strings.IndexByte(s[open:], ']')
	if n < 0 || n > 40 {
		return s
	}
	return s[:open] + s[open+n+1:]
}
