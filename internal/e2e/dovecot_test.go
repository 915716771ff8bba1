package e2e

import (
	"net"
	"testing"

	"mox/imapclient"
	"mox/internal/testkit/peers"
)

// dovecot starts a Dovecot with an empty inbox, and returns it with a client that has
// selected that.
func dovecot(t testing.TB, o peers.DovecotOptions) (*peers.Dovecot, *imapclient.Client) {
	t.Helper()
	o.Password = password
	d := peers.StartDovecot(t, o)
	nc, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", d.Port))
	check(t, err)
	ctx := testContext(t)
	c, err := imapclient.New(ctx, nc, imapclient.Options{})
	check(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_, err = c.Login(ctx, user, password)
	check(t, err)
	_, err = c.Select(ctx, "INBOX", imapclient.SelectOptions{})
	check(t, err)
	return d, c
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
