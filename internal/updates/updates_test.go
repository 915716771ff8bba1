package updates

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mox/dns"
	"mox/internal/testkit"
	"mox/mlog"
)

func version(t *testing.T, s string) Version {
	t.Helper()
	v, err := ParseVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVersionsAreThreeNumbers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Version{"v0.3.12": {0, 3, 12}, "1.2.3": {1, 2, 3}, "v1.2.3-0.20260101-abc": {1, 2, 3}, "v1.2.3+modified": {1, 2, 3}} {
		if got := version(t, text); got != want {
			t.Errorf("%s: got %v", text, got)
		}
	}
	for _, text := range []string{"", "v", "1.2", "1.2.3.4", "1.2.x", "v1..3", "1.2.-3", "1.2.99999999999", "devel", "0123456789ab"} {
		if v, err := ParseVersion(text); err == nil {
			t.Errorf("%q: got %v", text, v)
		}
	}
	for i, text := range []string{"v0.0.9", "v0.1.0", "v0.1.1", "v0.10.0", "v1.0.0"} {
		if i > 0 && version(t, text).Compare(version(t, "v0.0.9")) <= 0 {
			t.Errorf("%s is not after v0.0.9", text)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	f.Add("v1.2.3-x")
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := ParseVersion(s); err == nil {
			if again, err := ParseVersion(v.String()); err != nil || again != v {
				t.Errorf("%q: %v became %v, %v", s, v, again, err)
			}
		}
	})
}

// resolver answers with a zone.
func resolver(t *testing.T, zone string, faults map[string]testkit.DNSFault) dns.Resolver {
	t.Helper()
	s := testkit.NewDNS(t, testkit.DNSOptions{Zone: zone, Faults: faults})
	r, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{s.Addr}, Log: mlog.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var testDomain = dns.Domain{ASCII: "mox.example"}

func TestLatestVersionIsInOneRecord(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		txts []string
		want string
		err  error
	}{
		{"good", []string{"v=UPDATES0; l=v0.3.12"}, "v0.3.12", nil},
		{"beside others", []string{"hello", "v=UPDATES0;l=0.3.12;x=y;"}, "v0.3.12", nil},
		{"none", nil, "", ErrNoRecord},
		{"only others", []string{"l=v1.2.3; v=UPDATES0", "v=UPDATES1; l=v1.2.3"}, "", ErrNoRecord},
		{"two", []string{"v=UPDATES0; l=v0.3.12", "v=UPDATES0; l=v0.3.13"}, "", ErrRecord},
		{"no version", []string{"v=UPDATES0"}, "", ErrRecord},
		{"two versions", []string{"v=UPDATES0; l=v0.3.12; l=v0.3.13"}, "", ErrRecord},
		{"bad version", []string{"v=UPDATES0; l=soon"}, "", ErrRecord},
		{"no value", []string{"v=UPDATES0; l"}, "", ErrRecord},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			zone := "mox.example. TXT \"other\"\n"
			for _, txt := range tt.txts {
				zone += fmt.Sprintf("_updates.mox.example. TXT %q\n", txt)
			}
			v, err := Lookup(t.Context(), resolver(t, zone, nil), testDomain)
			if !errors.Is(err, tt.err) || tt.err == nil && v.String() != tt.want {
				t.Errorf("got %v, %v, want %s, %v", v, err, tt.want, tt.err)
			}
		})
	}
	t.Run("lookup fails", func(t *testing.T) {
		t.Parallel()
		r := resolver(t, "mox.example. TXT \"other\"\n", map[string]testkit.DNSFault{"TXT _updates.mox.example.": testkit.DNSServFail})
		if _, err := Lookup(t.Context(), r, testDomain); !errors.Is(err, ErrDNS) {
			t.Errorf("got %v", err)
		}
	})
}

// entry returns the text of an entry.
func entry(version, previous, text string) string {
	s := "Version: " + version + "\n"
	if previous != "" {
		s += "Previous: " + previous + "\n"
	}
	return s + "Date: 2026-01-31\n\n" + text + "\n"
}

func testKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// changelog returns entries for v0.0.3, v0.0.2 and v0.0.1.
func changelog(key ed25519.PrivateKey) Changelog {
	return Changelog{[]Change{
		Sign(key, entry("v0.0.3", "v0.0.2", "Third.")),
		Sign(key, entry("v0.0.2", "v0.0.1", "Second.")),
		Sign(key, entry("v0.0.1", "", "First.")),
	}}
}

func TestChangelogsAreTakenWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	key, other := testKey(t), testKey(t)
	tests := []struct {
		name string
		edit func(c *Changelog)
		from string
		want string // Empty for an error.
	}{
		{"good", func(*Changelog) {}, "v0.0.1", "Third. Second."},
		{"only what is newer is sent", func(c *Changelog) { c.Changes = c.Changes[:2] }, "v0.0.1", "Third. Second."},
		{"empty", func(c *Changelog) { c.Changes = nil }, "v0.0.1", ""},
		{"newest is missing", func(c *Changelog) { c.Changes = c.Changes[1:] }, "v0.0.1", ""},
		{"oldest is missing", func(c *Changelog) { c.Changes = c.Changes[:1] }, "v0.0.1", ""},
		{"one between is missing", func(c *Changelog) { c.Changes = append(c.Changes[:1], c.Changes[2]) }, "v0.0.1", ""},
		{"order", func(c *Changelog) { c.Changes[1], c.Changes[2] = c.Changes[2], c.Changes[1] }, "v0.0.1", ""},
		{"text was changed", func(c *Changelog) { c.Changes[1].Text += "x" }, "v0.0.1", ""},
		{"entry that is not needed was changed", func(c *Changelog) { c.Changes[2].Text += "x" }, "v0.0.1", ""},
		{"another key", func(c *Changelog) { c.Changes[2] = Sign(other, c.Changes[2].Text) }, "v0.0.1", ""},
		{"key of another in it", func(c *Changelog) { c.Changes[2].PubKey = other.Public().(ed25519.PublicKey) }, "v0.0.1", ""},
		{"no signature", func(c *Changelog) { c.Changes[0].Sig = nil }, "v0.0.1", ""},
		{"no version", func(c *Changelog) { c.Changes[0] = Sign(key, "Date: 2026-01-31\n\nx") }, "v0.0.1", ""},
		{"no empty line", func(c *Changelog) { c.Changes[0] = Sign(key, "Version: v0.0.3\nPrevious: v0.0.2\n") }, "v0.0.1", ""},
		{"circle", func(c *Changelog) { c.Changes[0] = Sign(key, entry("v0.0.3", "v0.0.3", "x")) }, "v0.0.1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := changelog(key)
			tt.edit(&c)
			srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.FormValue("from") != tt.from || r.FormValue("x") != "y" || r.Header.Get("Accept") != "application/json" {
					t.Errorf("got request for %s, accepting %q", r.URL, r.Header.Get("Accept"))
				}
				_ = json.NewEncoder(w).Encode(c)
			}))
			defer srv.Close()
			got, err := Fetch(t.Context(), srv.Client(), srv.URL+"/changelog?x=y", key.Public().(ed25519.PublicKey), version(t, tt.from), version(t, "v0.0.3"))
			if (err == nil) != (tt.want != "") || err != nil && !errors.Is(err, ErrChangelog) {
				t.Fatalf("got error %v", err)
			}
			if err == nil {
				text := got.Text(version(t, tt.from))
				for _, s := range strings.Fields(tt.want) {
					if !strings.Contains(text, s) {
						t.Errorf("no %s in %q", s, text)
					}
				}
				if strings.Contains(text, "First") {
					t.Errorf("got old entries: %q", text)
				}
			}
		})
	}
}

func TestAnswersThatAreNoChangelogAreErrors(t *testing.T) {
	t.Parallel()
	key := testKey(t)
	for path, handler := range map[string]http.HandlerFunc{
		"status": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusNotFound) },
		"html":   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"large":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat(" ", maxChangelog+1)) },
	} {
		srv := httptest.NewTLSServer(handler)
		if c, err := Fetch(t.Context(), srv.Client(), srv.URL, key.Public().(ed25519.PublicKey), Version{}, version(t, "v0.0.3")); err == nil {
			t.Errorf("%s: got %v", path, c)
		}
		srv.Close()
	}
}

// source is a DNS server and a web server with versions.
func source(t *testing.T, key ed25519.PrivateKey, latest string) (Options, *[]Update) {
	t.Helper()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(changelog(key))
	}))
	t.Cleanup(srv.Close)
	told := &[]Update{}
	return Options{
		Source:   Source{testDomain, srv.URL, key.Public().(ed25519.PublicKey)},
		Current:  "v0.0.1",
		Dir:      t.TempDir(),
		Resolver: resolver(t, fmt.Sprintf("_updates.mox.example. TXT \"v=UPDATES0; l=%s\"\n", latest), nil),
		Client:   srv.Client(),
		Log:      mlog.Discard(),
		Deliver: func(_ context.Context, u Update) error {
			*told = append(*told, u)
			return nil
		},
	}, told
}

func lastKnown(t *testing.T, o Options) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(o.Dir, lastKnownName))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func TestOperatorIsToldOfEachVersionOnce(t *testing.T) {
	t.Parallel()
	key := testKey(t)
	o, told := source(t, key, "v0.0.3")
	for range 2 {
		if err := NewChecker(o).Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(*told) != 1 || (*told)[0].Latest.String() != "v0.0.3" || (*told)[0].Current != "v0.0.1" || !strings.Contains((*told)[0].Changes, "Second.") || strings.Contains((*told)[0].Changes, "First.") {
		t.Errorf("got %+v", *told)
	}
	if got := lastKnown(t, o); got != "v0.0.3" {
		t.Errorf("known is %q", got)
	}
}

func TestNothingIsToldWithoutSomethingNew(t *testing.T) {
	t.Parallel()
	key := testKey(t)
	for current, latest := range map[string]string{"v0.0.3": "v0.0.3", "v0.1.0": "v0.0.3", "devel": "v0.0.3"} {
		o, told := source(t, key, latest)
		o.Current = current
		if err := NewChecker(o).Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(*told) != 0 || lastKnown(t, o) == "" {
			t.Errorf("%s: got %+v, known %q", current, *told, lastKnown(t, o))
		}
	}
}

func TestWhatCouldNotBeToldIsToldTheNextTime(t *testing.T) {
	t.Parallel()
	o, told := source(t, testKey(t), "v0.0.3")
	good := o.Deliver
	o.Deliver = func(context.Context, Update) error { return errors.New("disk full") }
	if err := NewChecker(o).Check(t.Context()); err == nil || lastKnown(t, o) != "" {
		t.Fatalf("got %v, known %q", err, lastKnown(t, o))
	}
	o.Deliver = good
	if err := NewChecker(o).Check(t.Context()); err != nil || len(*told) != 1 {
		t.Errorf("got %v, %+v", err, *told)
	}
}

func TestVersionsAreLookedForOnceADay(t *testing.T) {
	t.Parallel()
	o, _ := source(t, testKey(t), "v0.0.3")
	told, done := make(chan struct{}), make(chan struct{})
	o.Deliver = func(context.Context, Update) error {
		close(told) // A second time would panic.
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	c := NewChecker(o)
	go func() {
		defer close(done)
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	<-told // The first check is at once.
	cancel()
	<-done
	if d := time.Until(c.last().Add(Interval)); d < Interval-time.Hour || d > Interval {
		t.Errorf("next check is in %s", d)
	}
	old := time.Now().Add(-2 * Interval)
	if err := os.Chtimes(c.path, old, old); err != nil {
		t.Fatal(err)
	}
	if d := time.Until(c.last().Add(Interval)); d > 0 {
		t.Errorf("next check is in %s, after none for two days", d)
	}
	if err := c.touch(); err != nil || time.Since(c.last()) > time.Hour {
		t.Errorf("time of the last check is %s, %v", c.last(), err)
	}
}
