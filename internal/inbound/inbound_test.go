package inbound

import (
	"context"
	"testing"

	"mox/config"
	"mox/smtp"
)

func TestMailForAKnownAddressIsAccepted(t *testing.T) {
	t.Parallel()
	moved := smtp.Errorf(550, smtp.Se11BadMailbox, "moved")
	tests := []struct {
		name    string
		rcpt    config.Recipient
		mailbox string
		err     *smtp.Error
		code    int
	}{
		{"no mailbox", config.Recipient{Account: "ann"}, "Inbox", nil, 0},
		{"own mailbox", config.Recipient{Account: "ann", Destination: config.Destination{Mailbox: "Lists/x"}}, "Lists/x", nil, 0},
		{"refused", config.Recipient{Account: "ann", Destination: config.Destination{SMTPError: moved}}, "", moved, 550},
		{"no account", config.Recipient{}, "", nil, 550},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			v := New(Options{}).Decide(context.Background(), Facts{Recipient: tc.rcpt})
			if v.Accept != (tc.code == 0) || v.Accept == (v.Err != nil) || v.Reason == "" {
				t.Fatalf("verdict %+v", v)
			}
			if v.Accept && (v.Mailbox != tc.mailbox || v.Reason != ReasonNoBadSignals || len(v.Reasons) != 1) {
				t.Fatalf("verdict %+v", v)
			}
			if v.Err != nil && v.Err.Code != tc.code || tc.err != nil && v.Err != tc.err {
				t.Fatalf("error %v", v.Err)
			}
		})
	}
}

func TestAChainThatDoesNotDecideFailsTemporarily(t *testing.T) {
	t.Parallel()
	d := New(Options{})
	d.checks = nil
	v := d.Decide(context.Background(), Facts{})
	if v.Accept || v.Err == nil || !v.Err.Temporary() {
		t.Fatalf("verdict %+v", v)
	}
}
