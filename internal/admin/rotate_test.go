package admin

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"mox/config"
	"mox/dkim"
	"mox/dns"
	"mox/internal/testkit"
)

// rotating is an Admin whose clock and zone can be changed.
type rotating struct {
	*world
	now  time.Time
	zone *testkit.DNSServer
}

func newRotating(t *testing.T) *rotating {
	t.Helper()
	r := &rotating{world: newWorld(t), now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}
	r.zone = testkit.NewDNS(t, testkit.DNSOptions{Zone: "example.org NS ns.example.org"})
	resolver, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{r.zone.Addr}, Log: slog.New(slog.DiscardHandler)})
	r.ok(err)
	r.opts.Resolver, r.opts.Now = resolver, func() time.Time { return r.now }
	return r
}

// restart makes a new Admin, which knows only what is on disk.
func (r *rotating) restart() {
	r.t.Helper()
	h, err := config.Open(r.opts.Config.Snapshot().Path, slog.New(slog.DiscardHandler))
	r.ok(err)
	opts := r.opts
	opts.Config = h
	r.Admin = New(opts)
}

// publish puts records of keys into the zone.
func (r *rotating) publish(keys []DKIMKey) {
	r.t.Helper()
	var b strings.Builder
	b.WriteString("example.org NS ns.example.org\n")
	for _, k := range keys {
		fmt.Fprintf(&b, "%s TXT %s\n", k.Record.Name, strings.ReplaceAll(zoneText(k.Record.Data), "\n", " "))
	}
	r.zone.Set(r.t, testkit.DNSOptions{Zone: b.String()})
}

// signs returns the selectors that sign.
func (r *rotating) signs() string {
	d, _ := r.opts.Config.Snapshot().Domain(dns.Domain{ASCII: "example.org"})
	var l []string
	for _, sel := range d.Sign {
		l = append(l, sel.Name.ASCII)
	}
	return strings.Join(l, " ")
}

func (r *rotating) rotate(state string) DKIMStatus {
	r.t.Helper()
	st, err := r.RotateDKIM(r.t.Context(), "example.org")
	r.ok(err)
	if st.State != state {
		r.t.Fatalf("state is %s, expected %s: %+v", st.State, state, st)
	}
	return st
}

func TestKeysAreRotated(t *testing.T) {
	t.Parallel()
	r, ctx := newRotating(t), t.Context()
	_, err := r.RotateDKIM(ctx, "example.org")
	r.refused(r.text(), err, ErrNotFound, "no DKIM keys")
	r.ok(r.AddDKIM(ctx, "example.org", "2026a", KeyRSA, true))
	r.ok(r.AddDKIM(ctx, "example.org", "2026b", KeyEd25519, true))
	r.ok(r.AddDKIM(ctx, "example.org", "2026c", KeyEd25519, false))
	old, err := r.DKIMStatus(ctx, "example.org")
	r.ok(err)

	// New keys are made, and wait for their records: those of all of them.
	st := r.rotate(DKIMWaiting)
	var kinds []string
	for _, k := range st.Keys {
		kinds = append(kinds, fmt.Sprintf("%s:%s:%v:%v:%v", k.Selector, k.Kind, k.Signs, k.New, k.InDNS))
	}
	if got := strings.Join(kinds, " "); got != "2026a:rsa:true:false:false 2026b:ed25519:true:false:false 2026c:ed25519:false:false:false 2026d:rsa:false:true:false 2026e:ed25519:false:true:false 2026f:ed25519:false:true:false" {
		t.Errorf("keys %s", got)
	}
	r.publish(slices.Concat(old.Keys, st.Keys[3:5]))
	r.restart()
	st = r.rotate(DKIMWaiting)
	if r.signs() != "2026a 2026b" || len(st.Keys) != 6 || !st.Keys[4].InDNS || st.Keys[5].InDNS {
		t.Errorf("signs %s: %+v", r.signs(), st)
	}
	wrong := slices.Clone(st.Keys)
	wrong[5].Record.Data = wrong[4].Record.Data
	r.publish(wrong)
	if st = r.rotate(DKIMWaiting); !strings.Contains(st.Keys[5].Problem, "another key") {
		t.Errorf("problem %q", st.Keys[5].Problem)
	}
	err = r.RemoveDKIM(ctx, "example.org", "2026a")
	r.refused(r.text(), err, ErrInUse, "change of keys")

	// With the records, the new keys sign, and what they sign passes.
	st.Keys[5].Record = mustRecord(t, r, "2026f")
	r.publish(st.Keys)
	st = r.rotate(DKIMSigning)
	if r.signs() != "2026d 2026e" || !st.RetireAt.Equal(r.now.Add(retireAfter)) {
		t.Errorf("signs %s, retire at %v", r.signs(), st.RetireAt)
	}
	r.verifies()

	// The old ones stay for a week, also over restarts.
	r.now = r.now.Add(retireAfter - time.Minute)
	r.restart()
	r.StepRotations(ctx)
	if st = r.rotate(DKIMSigning); len(st.Keys) != 6 {
		t.Errorf("%d keys", len(st.Keys))
	}
	r.now = r.now.Add(time.Minute)
	r.StepRotations(ctx)
	st, err = r.DKIMStatus(ctx, "example.org")
	r.ok(err)
	if st.State != DKIMStable || len(st.Keys) != 3 || r.signs() != "2026d 2026e" {
		t.Errorf("in the end: %+v", st)
	}
	if now, gone := r.keys(""), r.keys("old"); len(now) != 3 || len(gone) != 3 || !strings.HasPrefix(gone[0], "2026a.") {
		t.Errorf("keys %q, old keys %q", now, gone)
	}
	if strings.Contains(r.text(), "Rotation") {
		t.Errorf("file is %s", r.text())
	}
	// The next change does not use names again.
	r.now = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	if st = r.rotate(DKIMWaiting); st.Keys[3].Selector != "2027a" {
		t.Errorf("selector %s", st.Keys[3].Selector)
	}
}

func mustRecord(t *testing.T, r *rotating, selector string) Record {
	t.Helper()
	st, err := r.DKIMStatus(t.Context(), "example.org")
	r.ok(err)
	for _, k := range st.Keys {
		if k.Selector == selector {
			return k.Record
		}
	}
	t.Fatalf("no selector %s", selector)
	return Record{}
}

// verifies checks that a message signed with the configuration passes.
func (r *rotating) verifies() {
	r.t.Helper()
	d, _ := r.opts.Config.Snapshot().Domain(dns.Domain{ASCII: "example.org"})
	msg := "From: <ann@example.org>\r\nSubject: x\r\n\r\nx\r\n"
	fields, err := dkim.Sign(strings.NewReader(msg), int64(len(msg)), d.Domain, d.Sign, dkim.SignOptions{})
	r.ok(err)
	msg = fields + msg
	results, err := dkim.Verify(r.t.Context(), nil, r.opts.Resolver, strings.NewReader(msg), int64(len(msg)), dkim.VerifyOptions{})
	r.ok(err)
	if len(results) != 2 || results[0].Status != dkim.StatusPass || results[1].Status != dkim.StatusPass {
		r.t.Errorf("results %+v", results)
	}
}

func TestSelectorNames(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		have []string
		want string
	}{
		{nil, "[2026a 2026b]"},
		{[]string{"2026a", "2026c", "mail"}, "[2026d 2026e]"},
		{[]string{"2026y"}, "[2026z 2026aa]"},
		{[]string{"2026az"}, "[2026ba 2026bb]"},
	} {
		f := &config.DKIMFields{Selectors: map[string]config.SelectorFields{}}
		for _, name := range tc.have {
			f.Selectors[name] = config.SelectorFields{}
		}
		if got := fmt.Sprint(newSelectors(f, 2026, 2)); got != tc.want {
			t.Errorf("%v: got %s, expected %s", tc.have, got, tc.want)
		}
	}
}
