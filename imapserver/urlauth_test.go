package imapserver

import (
	"context"
	"strings"
	"testing"

	"mox/imapclient"
)

func TestTheClientCatenatesAndAuthorizesURLs(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	ctx := t.Context()
	clients := map[string]*imapclient.Client{}
	for _, user := range []string{testUser, otherUser} {
		nc, err := ts.dial(context.Background(), "raw")
		if err != nil {
			t.Fatal(err)
		}
		c, err := imapclient.New(ctx, nc, imapclient.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Login(ctx, user, testPassword); err != nil {
			t.Fatal(err)
		}
		clients[user] = c
	}
	c := clients[testUser]
	if _, _, err := c.Append(ctx, "Inbox", imapclient.StringMessage("Subject: a\r\n\r\ntext\r\n")); err != nil {
		t.Fatal(err)
	}
	text := "more\r\n"
	m := imapclient.Message{Parts: []imapclient.Part{{URL: "/Inbox/;UID=1"}, {Size: int64(len(text)), Data: strings.NewReader(text)}}}
	if got, _, err := c.Append(ctx, "Inbox", m); err != nil || got.UIDs.String() != "2" {
		t.Fatalf("append: %+v, %v", got, err)
	}
	urls, err := c.GenURLAuth(ctx, "imap://mjl%40mox.example@mail.mox.example/Inbox/;UID=2/;SECTION=TEXT;URLAUTH=authuser")
	if err != nil || len(urls) != 1 {
		t.Fatalf("authorize: %q, %v", urls, err)
	}
	fetch := func() imapclient.URLFetch {
		got, err := clients[otherUser].URLFetch(ctx, urls[0], "/x")
		if err != nil || len(got) != 2 || got[0].URL != urls[0] || got[1].Data.OK {
			t.Fatalf("fetch: %+v, %v", got, err)
		}
		return got
	}
	if got := fetch(); got[0].Data.Value != "text\r\nmore\r\n" {
		t.Errorf("fetched %+v", got)
	}
	if _, err := c.ResetKey(ctx, "Inbox"); err != nil {
		t.Fatal(err)
	}
	if got := fetch(); got[0].Data.OK {
		t.Errorf("fetched after a change of the key: %+v", got)
	}
}
