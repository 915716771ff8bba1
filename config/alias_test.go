package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// withFields adds fields, given with their indentation, to the domain example.org of
// testDynamic.
func withFields(t *testing.T, fields string) string {
	t.Helper()
	return change(t, testDynamic, "\t\tLocalpartCatchallSeparator: +\n", "\t\tLocalpartCatchallSeparator: +\n"+fields)
}

const testAliases = `		Aliases:
			support:
				Addresses:
					- ann@example.org
					- Bob.S@example.org
				AllowMsgFrom: true
			all:
				Addresses:
					- ann@example.org
				PostPublic: true
				ListMembers: true
`

func TestAliasIsFoundBeforeTheCatchall(t *testing.T) {
	t.Parallel()
	s, err := testLoad(testStatic, change(t, withFields(t, testAliases), "\t\t\tann@example.org: nil\n", "\t\t\tann@example.org: nil\n\t\t\t@example.org: nil\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"support@example.org", "SUPPORT@example.org", "support+x@example.org"} {
		r, err := s.LookupAddress(parsePath(t, path))
		if err != nil || r.Alias == nil || r.Account != "" || r.CatchAll || r.Canonical.String() != "support@example.org" {
			t.Fatalf("%s: got %+v, error %v", path, r, err)
		}
		a := r.Alias
		if a.Address.String() != "support@example.org" || a.PostPublic || a.ListMembers || !a.AllowMsgFrom || len(a.Members) != 2 {
			t.Fatalf("%s: got %+v", path, a)
		}
		if !r.Expands() || a.Members[1].Recipient.Expands() {
			t.Fatalf("%s: expands %v", path, r.Expands())
		}
		m := a.Members[1]
		if m.Address.String() != "bob.s@example.org" || m.Recipient.Account != "bob" || m.Recipient.Destination.Mailbox != "Lists" || m.Recipient.Canonical != m.Address {
			t.Fatalf("%s: got member %+v", path, m)
		}
	}
	d, _ := s.Domain(parseAddress(t, "x@example.org").Domain)
	if a := d.Aliases["all"]; len(d.Aliases) != 2 || a == nil || !a.PostPublic || !a.ListMembers || a.AllowMsgFrom {
		t.Fatalf("got aliases %v", d.Aliases)
	}
	if r, err := s.LookupAddress(parsePath(t, "all@example.org")); err != nil || r.Expands() {
		t.Fatalf("single member: expands %v, error %v", r.Expands(), err)
	}
	if r, err := s.LookupAddress(parsePath(t, "other@example.org")); err != nil || r.Alias != nil || r.Account != "ann" {
		t.Fatalf("catchall: got %+v, error %v", r, err)
	}
}

func TestMembersOwnAnAliasThatAllowsIt(t *testing.T) {
	t.Parallel()
	s, err := testLoad(testStatic, withFields(t, testAliases))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		account, address string
		owns             bool
	}{
		{"ann", "support@example.org", true},
		{"bob", "Support+x@example.org", true},
		{"eve", "support@example.org", false},
		{"", "support@example.org", false},
		{"ann", "all@example.org", false}, // No AllowMsgFrom.
		{"bob", "all@example.org", false},
	} {
		if owns, err := s.AccountOwns(tc.account, parseAddress(t, tc.address)); owns != tc.owns || err != nil {
			t.Errorf("%s as %s: got %v, %v", tc.account, tc.address, owns, err)
		}
	}
	if _, ok := s.LoginAccount(parseAddress(t, "support@example.org")); ok {
		t.Errorf("alias is a login name")
	}
}

func TestAliasesAreChecked(t *testing.T) {
	t.Parallel()
	members := "\t\t\t\tAddresses:\n\t\t\t\t\t- ann@example.org\n"
	for _, tc := range []struct {
		name, fields, want string
	}{
		{"no members", "\t\t\tx: nil\n", "domains.conf:5: Domains.example.org.Aliases.x.Addresses: at least one address is needed"},
		{"separator", "\t\t\tx+y:\n" + members, `domains.conf:5: Domains.example.org.Aliases.x+y: address has the separator "+" of its domain in it, so it cannot be reached`},
		{"with domain", "\t\t\tx@example.org:\n" + members, `domains.conf:5: Domains.example.org.Aliases.x@example.org: "x@example.org" is not a localpart, write it without @ and domain`},
		{"empty", "\t\t\t\"\":\n" + members, `domains.conf:5: Domains.example.org.Aliases."": localpart is empty`},
		{"address of an account", "\t\t\tAnn:\n" + members, `domains.conf:5: Domains.example.org.Aliases.Ann: address is already a destination of account "ann"`},
		{"twice", "\t\t\tX:\n" + members + "\t\t\tx:\n" + members, `domains.conf:8: Domains.example.org.Aliases.x: address is already an alias (perhaps with other upper and lower case)`},
		{"for reports", "\t\t\trep:\n" + members + "\t\tDMARC:\n\t\t\tLocalpart: rep\n\t\t\tAccount: ann\n\t\t\tMailbox: DMARC\n", `domains.conf:5: Domains.example.org.Aliases.rep: address is already for DMARC reports`},
		{"member twice", "\t\t\tx:\n" + members + "\t\t\t\t\t- ANN@example.org\n", `domains.conf:8: Domains.example.org.Aliases.x.Addresses[1]: address is listed twice`},
		{"member elsewhere", "\t\t\tx:\n" + members + "\t\t\t\t\t- ann@example.com\n", `domains.conf:8: Domains.example.org.Aliases.x.Addresses[1]: domain "example.com" of address is not in Domains`},
		{"member unknown", "\t\t\tx:\n" + members + "\t\t\t\t\t- eve@example.org\n", `domains.conf:8: Domains.example.org.Aliases.x.Addresses[1]: "eve@example.org" is not an address of an account`},
		{"member of the catchall", "\t\t\tx:\n" + members + "\t\t\t\t\t- any@case.example\n", `domains.conf:8: Domains.example.org.Aliases.x.Addresses[1]: "any@case.example" is not an address of an account`},
		{"member is an alias", "\t\t\tx:\n" + members + "\t\t\ty:\n" + members + "\t\t\t\t\t- x@example.org\n", `domains.conf:11: Domains.example.org.Aliases.y.Addresses[1]: "x@example.org" is not an address of an account`},
		{"member malformed", "\t\t\tx:\n" + members + "\t\t\t\t\t- ann\n", `domains.conf:8: Domains.example.org.Aliases.x.Addresses[1]: `},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := testLoad(testStatic, withFields(t, "\t\tAliases:\n"+tc.fields))
			if got := errorLines(t, err); !strings.HasPrefix(got, tc.want) || strings.Count(got, "\n") != 1 {
				t.Fatalf("got:\n%s\nexpected:\n%s", got, tc.want)
			}
		})
	}
}

func TestMembersOfAnAliasAreLimited(t *testing.T) {
	t.Parallel()
	conf := func(n int) string {
		var dests, members strings.Builder
		for i := range n {
			fmt.Fprintf(&dests, "\t\t\tm%d@example.org: nil\n", i)
			fmt.Fprintf(&members, "\t\t\t\t\t- m%d@example.org\n", i)
		}
		s := withFields(t, "\t\tAliases:\n\t\t\tx:\n\t\t\t\tAddresses:\n"+members.String())
		return change(t, s, "\t\t\tann@example.org: nil\n", "\t\t\tann@example.org: nil\n"+dests.String())
	}
	if _, err := testLoad(testStatic, conf(MaxAliasMembers)); err != nil {
		t.Fatal(err)
	}
	_, err := testLoad(testStatic, conf(MaxAliasMembers+1))
	want := "domains.conf:6: Domains.example.org.Aliases.x.Addresses: 1001 addresses are more than the 1000 that are possible\n"
	if got := errorLines(t, err); got != want {
		t.Fatalf("got:\n%s\nexpected:\n%s", got, want)
	}
	var errs Errors
	if !errors.As(err, &errs) {
		t.Fatal(err)
	}
}
