package config

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"mox/dns"
)

const testReports = `		DMARC:
			Localpart: DMARC+reports
			Account: ann
			Mailbox: DMARC
		TLSRPT:
			Localpart: tlsreports
			Domain: reports.example
			Account: bob
			Mailbox: TLSRPT
	reports.example: nil
	elsewhere.example:
		TLSRPT:
			Localpart: tlsreports
			Domain: reports.example
			Account: bob
			Mailbox: TLSRPT
	case2.example: nil
`

func reportsSnapshot(t *testing.T) *Snapshot {
	t.Helper()
	static := testStatic + "HostTLSRPT:\n\tAccount: bob\n\tMailbox: HostTLS\n\tLocalpart: TLSreports\n"
	s, err := testLoad(static, change(t, withFields(t, testReports), "\t\t\tann@example.org: nil\n", "\t\t\tann@example.org: nil\n\t\t\t@example.org: nil\n"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLookupAddressFindsAddressesForReports(t *testing.T) {
	t.Parallel()
	s := reportsSnapshot(t)
	for _, tc := range []struct {
		path, account, mailbox, canonical string
		kind                              ReportKind
		err                               error
	}{
		{"dmarc+reports@example.org", "ann", "DMARC", "dmarc+reports@example.org", ReportDMARC, nil},
		{"DMARC+Reports@example.org", "ann", "DMARC", "dmarc+reports@example.org", ReportDMARC, nil},
		{"dmarc@example.org", "ann", "Inbox", "dmarc@example.org", ReportNone, nil}, // The catchall.
		{"dmarc+x@example.org", "ann", "Inbox", "dmarc@example.org", ReportNone, nil},
		{"tlsreports@reports.example", "bob", "TLSRPT", "tlsreports@reports.example", ReportTLS, nil},
		{"tlsreports@example.org", "ann", "Inbox", "tlsreports@example.org", ReportNone, nil},
		{"tlsreports@mx.example.org", "bob", "HostTLS", "tlsreports@mx.example.org", ReportTLSHost, nil},
		{"Tlsreports@mx.example.org", "bob", "HostTLS", "tlsreports@mx.example.org", ReportTLSHost, nil},
		{"other@mx.example.org", "", "", "", ReportNone, ErrDomainUnknown},
		{"other@reports.example", "", "", "", ReportNone, ErrDomainUnknown},
		{"postmaster@reports.example", "", "", "", ReportNone, ErrDomainUnknown},
		{"ann@elsewhere.example", "", "", "", ReportNone, ErrDomainUnknown},
		{"ann@case2.example", "", "", "", ReportNone, ErrAddressUnknown},
	} {
		r, err := s.LookupAddress(parsePath(t, tc.path))
		var canonical string
		if err == nil {
			canonical = r.Canonical.String()
		}
		if !errors.Is(err, tc.err) || r.Account != tc.account || r.Destination.Mailbox != tc.mailbox || r.Report != tc.kind || canonical != tc.canonical {
			t.Errorf("%s: got %+v, error %v", tc.path, r, err)
		}
	}
}

func TestSnapshotHasAddressesForReportsOfDomains(t *testing.T) {
	t.Parallel()
	s := reportsSnapshot(t)
	only := map[string]bool{"reports.example": true, "elsewhere.example": true}
	for _, name := range []string{"example.org", "reports.example", "elsewhere.example", "case.example", "case2.example"} {
		d, ok := s.Domain(dns.Domain{ASCII: name})
		if !ok || d.ReportsOnly != only[name] {
			t.Errorf("%s: got %v, reports only: %v", name, ok, d.ReportsOnly)
		}
	}
	d, _ := s.Domain(dns.Domain{ASCII: "example.org"})
	if want := (ReportAddress{"DMARC+reports", dns.Domain{ASCII: "example.org"}, "ann", "DMARC"}); d.DMARC == nil || *d.DMARC != want {
		t.Errorf("got %+v", d.DMARC)
	}
	if want := (ReportAddress{"tlsreports", dns.Domain{ASCII: "reports.example"}, "bob", "TLSRPT"}); d.TLSRPT == nil || *d.TLSRPT != want {
		t.Errorf("got %+v", d.TLSRPT)
	}
}

func TestAddressesForReportsAreNobodys(t *testing.T) {
	t.Parallel()
	s := reportsSnapshot(t)
	for _, address := range []string{"dmarc+reports@example.org", "tlsreports@reports.example", "tlsreports@mx.example.org"} {
		for _, account := range []string{"ann", "bob"} {
			if owns, err := s.AccountOwns(account, parseAddress(t, address)); owns || err != nil {
				t.Errorf("%s is of %s: %v", address, account, err)
			}
		}
		if _, ok := s.LoginAccount(parseAddress(t, address)); ok {
			t.Errorf("%s is a login name", address)
		}
	}
}

func TestAddressesForReportsAreChecked(t *testing.T) {
	t.Parallel()
	rest := "\t\t\tAccount: ann\n\t\t\tMailbox: DMARC\n"
	for _, tc := range []struct {
		name, fields, want string
	}{
		{"empty", "\t\tDMARC:\n\t\t\tLocalpart: \n" + rest, "domains.conf:5: Domains.example.org.DMARC.Localpart: localpart is empty"},
		{"with domain", "\t\tDMARC:\n\t\t\tLocalpart: a@b\n" + rest, `domains.conf:5: Domains.example.org.DMARC.Localpart: "a@b" is not a localpart`},
		{"not ascii", "\t\tTLSRPT:\n\t\t\tLocalpart: ü\n" + rest, "domains.conf:5: Domains.example.org.TLSRPT.Localpart: localpart must be in ASCII"},
		{"postmaster", "\t\tDMARC:\n\t\t\tLocalpart: Postmaster\n" + rest, `domains.conf:5: Domains.example.org.DMARC.Localpart: "Postmaster" cannot be used: mail for the postmaster is not only reports`},
		{"account", "\t\tDMARC:\n\t\t\tLocalpart: x\n\t\t\tAccount: eve\n\t\t\tMailbox: DMARC\n", `domains.conf:6: Domains.example.org.DMARC.Account: account "eve" is not in Accounts`},
		{"mailbox", "\t\tDMARC:\n\t\t\tLocalpart: x\n\t\t\tAccount: ann\n\t\t\tMailbox: a//b\n", `domains.conf:7: Domains.example.org.DMARC.Mailbox: "a//b": mailbox name has an empty level`},
		{"domain", "\t\tDMARC:\n\t\t\tLocalpart: x\n\t\t\tDomain: example.com\n" + rest, `domains.conf:6: Domains.example.org.DMARC.Domain: domain "example.com" is not in Domains`},
		{"address of an account", "\t\tDMARC:\n\t\t\tLocalpart: ANN\n" + rest, `domains.conf:5: Domains.example.org.DMARC.Localpart: address is already a destination of account "ann"`},
		{"both kinds", "\t\tDMARC:\n\t\t\tLocalpart: x\n" + rest + "\t\tTLSRPT:\n\t\t\tLocalpart: X\n" + rest, "domains.conf:9: Domains.example.org.TLSRPT.Localpart: address is already for DMARC reports"},
		{"two mailboxes", "\t\tDMARC:\n\t\t\tLocalpart: x\n" + rest + "\tz.example:\n\t\tDMARC:\n\t\t\tLocalpart: x\n\t\t\tDomain: example.org\n\t\t\tAccount: ann\n\t\t\tMailbox: Other\n",
			"domains.conf:10: Domains.z.example.DMARC.Localpart: address is already for DMARC reports of another domain, to another account or mailbox"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := testLoad(testStatic, withFields(t, tc.fields))
			if got := strings.TrimSuffix(errorLines(t, err), "\n"); got != tc.want {
				t.Fatalf("got:\n%s\nexpected:\n%s", got, tc.want)
			}
		})
	}
}

func TestAddressForReportsAboutTheHostIsChecked(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, section, dynamic, want string
	}{
		{"localpart", "\tAccount: ann\n\tMailbox: x\n\tLocalpart: ü\n", testDynamic, "mox.conf:27: HostTLSRPT.Localpart: localpart must be in ASCII"},
		{"account", "\tAccount: eve\n\tMailbox: x\n\tLocalpart: x\n", testDynamic, `mox.conf:25: HostTLSRPT.Account: account "eve" is not in domains.conf`},
		{"mailbox", "\tAccount: ann\n\tMailbox: \n\tLocalpart: x\n", testDynamic, "mox.conf:26: HostTLSRPT.Mailbox: "},
		{"taken", "\tAccount: ann\n\tMailbox: x\n\tLocalpart: X\n",
			strings.Replace(testDynamic, "Domains:\n", "Domains:\n\tmx.example.org: nil\n", 1) + "\t\t\tx@mx.example.org: nil\n",
			`mox.conf:27: HostTLSRPT.Localpart: address is already a destination of account "bob"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := testLoad(testStatic+"HostTLSRPT:\n"+tc.section, tc.dynamic)
			if got := errorLines(t, err); !strings.HasPrefix(got, tc.want) || strings.Count(got, "\n") != 1 {
				t.Fatalf("got:\n%s\nexpected:\n%s", got, tc.want)
			}
		})
	}
}

func TestReportKindsHaveNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for k := ReportNone; k <= ReportTLSHost; k++ {
		if s := k.String(); s == "" || seen[s] {
			t.Errorf("kind %d is called %q", k, s)
		} else {
			seen[s] = true
		}
	}
}

func TestReportsThatAreSentCanBeTurnedOff(t *testing.T) {
	t.Parallel()
	s, err := testLoad(testStatic, testDynamic)
	if err != nil || s.Static.NoOutgoingDMARCReports || s.Static.NoOutgoingTLSReports || s.Static.OutgoingTLSReportsForAllSuccess || len(s.MonitorDNSBLs) != 0 {
		t.Fatalf("by default: %v", err)
	}
	s, err = testLoad(testStatic+"NoOutgoingDMARCReports: true\nNoOutgoingTLSReports: true\nOutgoingTLSReportsForAllSuccess: true\n", testDynamic)
	if err != nil || !s.Static.NoOutgoingDMARCReports || !s.Static.NoOutgoingTLSReports || !s.Static.OutgoingTLSReportsForAllSuccess {
		t.Errorf("got %v, %v, %v, error %v", s.Static.NoOutgoingDMARCReports, s.Static.NoOutgoingTLSReports, s.Static.OutgoingTLSReportsForAllSuccess, err)
	}
}

func TestBlocklistsToMonitorAreZonesEachOnce(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		zones string
		want  []string
		err   string
	}{
		{"\t- bl.example\n\t- sbl.example\n", []string{"bl.example", "sbl.example"}, ""},
		{"\t- bl.example\n\t- bl.example\n", nil, "domain \"bl.example\" is listed twice"},
		{"\t- no zone\n", nil, "MonitorDNSBLs[0]"},
	} {
		s, err := testLoad(testStatic, testDynamic+"MonitorDNSBLs:\n"+tc.zones)
		if got := errorLines(t, err); (got == "") != (tc.err == "") || !strings.Contains(got, tc.err) || tc.err != "" && !strings.HasPrefix(got, "domains.conf:") {
			t.Errorf("%q: %q", tc.zones, got)
			continue
		}
		var got []string
		if err == nil {
			for _, d := range s.MonitorDNSBLs {
				got = append(got, d.Name())
			}
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("got %q, expected %q", got, tc.want)
		}
	}
}
