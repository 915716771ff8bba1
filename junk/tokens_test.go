package junk

import (
	"encoding/base64"
	"fmt"
	"mime/quotedprintable"
	"strings"
	"testing"
	"time"
)

func TestWordsOfTextAreFoundInAnyScript(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, text string
		want       []string
	}{
		{"apostrophes inside words stay", "don't can’t 'quoted'", []string{"don't", "can't", "quoted", "!don", "don't can't"}},
		{"words are folded", "Grüße STRASSE ΣΊΣΥΦΟΣ", []string{"grüße", "strasse", "σίσυφοσ"}},
		{"full-width letters are letters", "ＦＲＥＥ money", []string{"free", "free money"}},
		{"characters without width are not seen", "vi\u200bag\u00adra", []string{"viagra"}},
		{"Chinese gives pairs of characters", "免费电影", []string{"免", "免费", "费电", "电影"}},
		{"Japanese too, beside Latin", "無料のsoftwareです", []string{"無料", "料の", "software", "です"}},
		{"Thai too", "ฟรี", []string{"ฟ", "ฟร"}},
		{"Korean has words", "무료 영화", []string{"무료", "영화", "무료 영화"}},
		{"numbers are no words, amounts are", "12345 $100 £50 20% 7", []string{"!12345", "$100", "£50", "20%", "!7"}},
		{"shouting leaves a mark", "free! now", []string{"free", "free!", "free now"}},
		{"long runs are a sign", strings.Repeat("x", MaxWord+1), []string{"sign:long word", "!" + strings.Repeat("x", MaxWord)}},
		{"scripts mixed in a word are a sign", "pаypal", []string{"sign:mixed scripts in a word"}}, // Cyrillic а.
		{"scripts side by side are not", "paypal это", []string{"!sign:mixed scripts in a word"}},
		{"hosts of links", "see http://www.shop.example.co.uk/a/b?c and www.example.com.", []string{
			"url:example.co.uk", "url:www.shop.example.co.uk", "url:.uk", "url:example.com", "url:www.example.com", "!http"}},
		{"odd links", "http://10.1.2.3:8080/ http://bank.example@evil.example/", []string{
			"sign:address in a link", "sign:port in a link", "sign:user name in a link", "url:evil.example", "!url:bank.example"}},
		{"no links", "hello there", []string{"sign:no links"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			wantTokens(t, read(t, "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n"+text(tc.text)), tc.want...)
		})
	}
}

func TestHeadersGiveTokensAndSigns(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, header string
		want         []string
	}{
		{"addresses and names", "From: \"Ann Smith\" <ann@mail.example.org>", []string{
			"from:ann@mail.example.org", "from:mail.example.org", "from:example.org", "from:.org", "name:ann", "name:smith"}},
		{"a name that claims another domain", "From: \"support@paypal.com\" <x@evil.example>", []string{"sign:name claims another domain"}},
		{"a name that claims another host", "From: PayPal.com Service <x@evil.example>", []string{"sign:name claims another domain"}},
		{"a name that claims its own domain", "From: \"ann@example.org\" <ann@mail.example.org>", []string{"!sign:name claims another domain"}},
		{"an encoded name that claims another domain", "From: =?utf-8?q?paypal=2Ecom?= <x@evil.example>", []string{"sign:name claims another domain"}},
		{"a name with an abbreviation", "From: \"J. R. Smith e.V.\" <x@example.org>", []string{"!sign:name claims another domain"}},
		{"replies elsewhere", "From: a@example.org\nReply-To: b@example.com", []string{"sign:Reply-To elsewhere", "reply-to:example.com"}},
		{"replies to the same organisation", "From: a@example.org\nReply-To: b@mail.example.org", []string{"!sign:Reply-To elsewhere"}},
		{"no address", "From: nobody", []string{"sign:no address in From"}},
		{"a subject", "From: a@example.org\nSubject: =?utf-8?b?RlJFRSBNT05FWSE=?=", []string{
			"subject:free", "subject:money", "subject:free subject:money", "sign:subject in capitals", "sign:subject ends in !"}},
		{"a reply", "Subject: Re: lunch\nIn-Reply-To: <x@y>", []string{"sign:reply"}},
		{"a reply to nothing", "Subject: Re: lunch", []string{"sign:reply to nothing"}},
		{"what the way added says nothing", "Received: from x.invalid by y.invalid\nReturn-Path: <p@q.invalid>\nDelivered-To: d@r.invalid\nList-Id: <l.s.invalid>\n" +
			"X-Spam-Status: yes\nDate: Mon, 2 Mar 2026 10:00:00 +0000\nTo: zed@t.invalid", []string{"!from:q.invalid", "!invalid", "!zed"}},
		{"no name of a list in a subject", "List-Id: <l.example.org>\nSubject: [gardeners] roses", []string{"subject:roses", "!subject:gardeners"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tokens := read(t, tc.header+"\n\ntext\n")
			wantTokens(t, tokens, tc.want...)
			if strings.Contains(tokens.String(), "invalid") {
				t.Errorf("tokens of fields that servers add: %q", texts(tokens))
			}
		})
	}
}

func TestHTMLGivesLinksAndSigns(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, html string
		want       []string
	}{
		{"text and tags", `<p>Hello <b>free</b> world</p><script>var secret</script>`, []string{"hello", "hello free", "free world", "html:b", "!secret"}},
		{"a link that names another host", `<a href="http://evil.example/x">www.bank.com</a>`, []string{"sign:link text names another host", "url:evil.example"}},
		{"a link that names another host in a URL", `<a href="http://evil.example/x"> <b>https://login.bank.com/secure</b></a>`, []string{"sign:link text names another host"}},
		{"a link that names its own", `<a href="http://click.bank.com/x">www.bank.com</a>`, []string{"!sign:link text names another host", "url:bank.com"}},
		{"a link with words", `<a href="http://evil.example/x">click here</a>`, []string{"!sign:link text names another host", "click here"}},
		{"hidden text", `<span style="display: none">x</span>`, []string{"sign:hidden text"}},
		{"images and forms", `<img src="http://pics.example/a.gif"><form action="http://form.example/">`, []string{"sign:image from elsewhere", "sign:form", "url:form.example"}},
		{"no text", `<img src="cid:1">`, []string{"sign:no text"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			wantTokens(t, read(t, "From: a@example.org\nContent-Type: text/html\n\n"+tc.html+"\n"), tc.want...)
		})
	}
}

func TestLineEndsAndEncodingsMakeNoDifference(t *testing.T) {
	t.Parallel()
	body := "Grüße aus Köln, don't wait: http://example.com/a?b=c\nand a long line that is wrapped in quoted-printable, because it has more than 76 characters\n"
	head := "From: Jörg <j@example.org>\nSubject: Grüße\nMIME-Version: 1.0\n"
	encoded := "From: =?iso-8859-1?q?J=F6rg?= <j@example.org>\nSubject: =?utf-8?b?R3LDvMOfZQ==?=\nMIME-Version: 1.0\n"
	var qp strings.Builder
	w := quotedprintable.NewWriter(&qp)
	fmt.Fprint(w, body)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	latin := strings.NewReplacer("ü", "\xfc", "ß", "\xdf", "ö", "\xf6")
	want := read(t, head+"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"+body).String()
	for name, msg := range map[string]string{
		"bare LF":          head + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n" + body,
		"quoted-printable": encoded + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n" + strings.ReplaceAll(qp.String(), "\r\n", "\n"),
		"base64":           encoded + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString([]byte(body)) + "\n",
		"latin 1":          encoded + "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\n" + latin.Replace(body),
	} {
		if got := readRaw(t, msg).String(); got != want {
			t.Errorf("%s: got tokens\n%s\nwant\n%s", name, got, want)
		}
	}
}

func TestFooterOfAListIsNotRead(t *testing.T) {
	t.Parallel()
	msg := "From: a@example.org\nList-Id: <l.example.org>\n\nroses are red\n\n-- \nGarden list: garden@example.org\nhttp://lists.example.org/garden\n"
	wantTokens(t, read(t, msg), "roses", "!garden", "!url:example.org")
	wantTokens(t, read(t, strings.Replace(msg, "List-Id", "X-Other", 1)), "roses", "garden", "url:example.org")
	long := strings.Replace(msg, "\n-- \n", "\n-- \n"+strings.Repeat("pills\n", MaxFooterLines+1), 1)
	wantTokens(t, read(t, long), "pills")
}

func TestWorkOnHostileMessagesIsBounded(t *testing.T) {
	t.Parallel()
	words := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "w%dx ", i)
		}
		return b.String()
	}
	html := "From: a@example.org\nContent-Type: text/html\n\n"
	for name, msg := range map[string]string{
		"many words":         text(words(200_000)),
		"one long word":      text(strings.Repeat("x", 4<<20)),
		"many colons":        text(strings.Repeat(":", 1<<20)),
		"many half URLs":     text(strings.Repeat("http://", 200_000)),
		"many ww":            text(strings.Repeat("ww.", 300_000)),
		"many links":         html + strings.Repeat(`<a href="http://x.example/">http://y.example</a>`, 20_000),
		"one long tag":       html + "<a " + strings.Repeat("x=y ", 500_000),
		"deep tags":          html + strings.Repeat("<div>", 300_000),
		"links that stay":    html + strings.Repeat(`<a href="http://x.example/">`, 50_000),
		"many parts":         "From: a@example.org\nContent-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nhello part\n", 5000),
		"a long subject":     "Subject: " + words(100_000) + "\n\nx",
		"many addresses":     "From: " + strings.Repeat("a@example.org, ", 50_000) + "\n\nx",
		"a long name":        "From: \"" + strings.Repeat("a@b.com ", 100_000) + "\" <a@example.org>\n\nx",
		"marks without base": text(strings.Repeat("\u0301", 200_000)),
		"a stack of marks":   text("a" + strings.Repeat("\u0301", 200_000)),
		"separators":         "List-Id: x\n" + text(strings.Repeat("--\n", 300_000)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			tokens := read(t, msg)
			if tokens.Len() > MaxTokens {
				t.Errorf("%d tokens, more than %d", tokens.Len(), MaxTokens)
			}
			if n := len(tokens.text); n > MaxTokens*256 {
				t.Errorf("%d bytes of text", n)
			}
			// Quadratic work would take minutes.
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("took %s", d)
			}
		})
	}
}

func TestTextIsReadUpToItsLimits(t *testing.T) {
	t.Parallel()
	wantTokens(t, read(t, text(strings.Repeat("1 2 3 ", MaxPartText/6-100)+" inside")), "inside")
	wantTokens(t, read(t, text(strings.Repeat("1 2 3 ", MaxPartText/6+100)+" outside")), "!outside")
	part := func(last string) string {
		return "--b\n\n" + strings.Repeat("1 ", MaxPartText/2) + "\n--b\n\n" + last + "\n"
	}
	head := "From: a@example.org\nContent-Type: multipart/mixed; boundary=b\n\n"
	wantTokens(t, read(t, head+part("second")), "second")
	wantTokens(t, read(t, head+part("second")+part("fourth")), "second", "!fourth")
	wantTokens(t, read(t, head+strings.Repeat("--b\n\nx\n", MaxParts)+"--b\n\nbeyond\n"), "!beyond", "sign:many parts")
	var links strings.Builder
	for i := range MaxLinks + 1 {
		fmt.Fprintf(&links, "http://h%d.example/ ", i)
	}
	wantTokens(t, read(t, text(links.String())), fmt.Sprintf("url:h%d.example", MaxLinks-1), fmt.Sprintf("!url:h%d.example", MaxLinks), "sign:many links")
}

func TestNestedMessagesAreRead(t *testing.T) {
	t.Parallel()
	msg := "From: a@example.org\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nouter words\n--b\nContent-Type: message/rfc822\n\nSubject: x\n\ninner words\n--b\n" +
		"Content-Type: application/zip; name=\"invoice.pdf.exe\"\n\nx\n--b--\n"
	wantTokens(t, read(t, msg), "outer", "inner words", "type:message/rfc822", "file:.exe", "sign:file with two extensions")
}
