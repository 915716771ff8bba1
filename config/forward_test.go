package config

import (
	"fmt"
	"strings"
	"testing"
)

// forwarding returns the test configuration with fields for the destination
// bob.s@example.org.
func forwarding(t *testing.T, lines ...string) string {
	t.Helper()
	return change(t, testDynamic, "Mailbox: Lists", "Mailbox: Lists\n\t\t\t\t"+strings.Join(lines, "\n\t\t\t\t"))
}

func TestDestinationForwards(t *testing.T) {
	t.Parallel()
	s, err := testLoad(testStatic, forwarding(t, "ForwardTo:", "\t- Bob@elsewhere.example", "\t- b@höme.example", "ForwardOnly: true"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.LookupAddress(parsePath(t, "bob.s@example.org"))
	if got := fmt.Sprint(r.Destination.ForwardTo); err != nil || got != "[Bob@elsewhere.example b@xn--hme-sna.example]" && got != "[Bob@elsewhere.example b@höme.example]" || !r.Destination.ForwardOnly {
		t.Fatalf("got %v, %v, error %v", got, r.Destination.ForwardOnly, err)
	}
}

func TestAliasHasMembersElsewhere(t *testing.T) {
	t.Parallel()
	s, err := testLoad(testStatic, withFields(t, strings.Replace(testAliases, "\t\t\t\tPostPublic: true\n", "\t\t\t\tForwardTo:\n\t\t\t\t\t- c@elsewhere.example\n", 1)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.LookupAddress(parsePath(t, "all@example.org"))
	if err != nil || r.Alias == nil || fmt.Sprint(r.Alias.ForwardTo) != "[c@elsewhere.example]" || !r.Expands() {
		t.Fatalf("got %+v, error %v", r, err)
	}
}

func TestForwardingIsOnlyToElsewhere(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range MaxForwardTo + 1 {
		many = append(many, fmt.Sprintf("\t- a%d@elsewhere.example", i))
	}
	for name, tc := range map[string]struct {
		lines []string
		want  string
	}{
		"own address":  {[]string{"ForwardTo:", "\t- ann@example.org"}, `ForwardTo[0]: "ann@example.org" is an address of this server`},
		"own hostname": {[]string{"ForwardTo:", "\t- ann@mx.example.org"}, `is an address of this server`},
		"no domain":    {[]string{"ForwardTo:", "\t- ann"}, `ForwardTo[0]: `},
		"bad syntax":   {[]string{"ForwardTo:", "\t- a b@elsewhere.example"}, `ForwardTo[0]: `},
		"twice":        {[]string{"ForwardTo:", "\t- a@elsewhere.example", "\t- a@ELSEWHERE.example"}, `ForwardTo[1]: address is listed twice`},
		"too many":     {append([]string{"ForwardTo:"}, many...), `ForwardTo: 21 addresses are more than the 20 that are possible`},
		"no targets":   {[]string{"ForwardOnly: true"}, `ForwardOnly: needs ForwardTo`},
	} {
		_, err := testLoad(testStatic, forwarding(t, tc.lines...))
		if got := errorLines(t, err); !strings.Contains(got, tc.want) {
			t.Errorf("%s: got %q", name, got)
		}
	}
}
