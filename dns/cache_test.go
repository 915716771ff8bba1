package dns

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	miekg "github.com/miekg/dns"
	"golang.org/x/net/dns/dnsmessage"
)

// countingResolver answers all questions about TXT records in the same way.
type countingResolver struct {
	Resolver
	asked int
	ttl   time.Duration
	err   error
}

func (r *countingResolver) LookupTXT(context.Context, string) ([]string, Result, error) {
	r.asked++
	return []string{fmt.Sprint(r.asked)}, Result{Authentic: true, TTL: r.ttl}, r.err
}

func TestAnswersAreUsedForAMoment(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		ttl  time.Duration
		err  error
		used time.Duration
	}{
		"long TTL":        {time.Hour, nil, 30 * time.Second},
		"short TTL":       {5 * time.Second, nil, 5 * time.Second},
		"no TTL":          {0, nil, 0},
		"no records":      {time.Hour, ErrNotFound, 30 * time.Second},
		"failure":         {time.Hour, ErrTemporary, 0},
		"forged":          {time.Hour, ErrBogus, 0},
		"no such domain":  {time.Minute, ErrNoDomain, 30 * time.Second},
		"cannot be asked": {time.Minute, ErrInvalid, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := &countingResolver{ttl: tc.ttl, err: tc.err}
				c := NewCache(r, 0)
				look := func(name, want string) {
					t.Helper()
					got, res, err := c.LookupTXT(t.Context(), name)
					if len(got) != 1 || got[0] != want || !res.Authentic || !errors.Is(err, tc.err) {
						t.Errorf("got %q, %v, %v, want %s", got, res, err, want)
					}
				}
				look("one.example", "1")
				look("other.example", "2")
				if tc.used > 0 {
					time.Sleep(tc.used - time.Nanosecond)
					look("ONE.example", "1")
					time.Sleep(time.Nanosecond)
				}
				look("one.example", "3")
			})
		})
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	c := NewCache(&countingResolver{ttl: time.Hour}, 0)
	for i := range maxCached + 10 {
		if _, _, err := c.LookupTXT(t.Context(), fmt.Sprint("name", i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(c.answers); n > maxCached || n < 10 {
		t.Errorf("%d answers", n)
	}
}

// The expectations are from RFC 2308 §5: the lesser of the TTL of the SOA record and its
// MINIMUM field.
func TestTTLOfAnswers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer, authority []string
		want              uint32
	}{
		"one record":          {[]string{"a.example. 60 TXT x"}, nil, 60},
		"the least":           {[]string{"a.example. 300 CNAME b.example.", "b.example. 20 TXT x"}, []string{"example. 5 SOA a. b. 1 2 3 4 5"}, 20},
		"none":                {nil, []string{"example. 300 SOA a. b. 1 2 3 4 70"}, 70},
		"none, TTL of SOA":    {nil, []string{"example. 30 NS ns.example.", "example. 30 SOA a. b. 1 2 3 4 70"}, 30},
		"none, without a SOA": {nil, nil, 0},
		"zero":                {[]string{"a.example. 0 TXT x"}, nil, 0},
	} {
		m := new(miekg.Msg)
		m.SetQuestion("a.example.", miekg.TypeTXT)
		m.Response = true
		for _, s := range tc.answer {
			m.Answer = append(m.Answer, record(t, s))
		}
		for _, s := range tc.authority {
			m.Ns = append(m.Ns, record(t, s))
		}
		data, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		var p dnsmessage.Parser
		if _, err := p.Start(data); err != nil {
			t.Fatal(err)
		}
		if got := ttlOf(p); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

func record(t *testing.T, s string) miekg.RR {
	t.Helper()
	rr, err := miekg.NewRR(s)
	if err != nil {
		t.Fatal(err)
	}
	return rr
}
