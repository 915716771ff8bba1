package daemon

import (
	"strings"
	"testing"

	"mox/internal/updates"
)

func TestPostmasterIsToldOfNewVersions(t *testing.T) {
	t.Parallel()
	d := start(t, newDir(t))
	if err := d.tellUpdate(t.Context(), updates.Update{Current: "v0.0.1", Latest: updates.Version{Patch: 2}, Changes: "Version: v0.0.2\n\nMüch is new.\n"}); err != nil {
		t.Fatal(err)
	}
	c := d.imap(t)
	mailbox := d.conf.Snapshot().Postmaster().Destination.Mailbox
	command(t, c, `select "`+mailbox+`"`)
	got := command(t, c, "fetch * (flags body.peek[])")
	for _, want := range []string{`\Flagged`, "Subject: mox v0.0.2 is available", "Running: v0.0.1", "From: mox <postmaster@"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}
