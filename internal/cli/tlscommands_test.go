package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"mox/internal/testkit"
	"mox/mtasts"
)

const tlsZone = `
example.net MX 10 mail.example.net
example.net MX 20 backup.example.org
_mta-sts.example.net TXT "v=STSv1; id=2026; x=y"
mta-sts.example.net A 127.0.0.1
_mta-sts.alone.example TXT "v=STSv1; id=1;"
_mta-sts.bad.example TXT "v=STSv1; id=;"
_smtp._tls.example.net TXT "v=TLSRPTv1; rua=mailto:tls@example.net,https://example.net/tls,ftp:x,mailto:x,https:x; a=b"
_smtp._tls.bad.example TXT "v=TLSRPTv1; rua=x"
_smtp._tls.two.example TXT "v=TLSRPTv1; rua=mailto:tls@example.net"
_smtp._tls.two.example TXT "v=TLSRPTv1; rua=mailto:tls@example.org"
`

func TestMTASTSLookupPrintsThePolicy(t *testing.T) {
	t.Parallel()
	server := dnsServer(t, tlsZone)
	for _, tc := range []commandCase{
		{"mtasts|lookup|nosuch.example", 1, "", "mtasts: no record at _mta-sts.nosuch.example (DNSSEC: verified)"},
		{"mtasts|lookup|bad.example", 1, "", "malformed record"},
		{"mtasts|lookup|alone.example", 1, "https://mta-sts.alone.example/.well-known/mta-sts.txt\n", "fetching policy failed"},
		{"mtasts|lookup|down.example", 1, "", "mtasts: no record"},
		{"mtasts|lookup|a b", 2, "", "malformed name"},
		{"mtasts|lookup", 2, "", "usage: mox mtasts lookup domain"},
	} {
		tc.check(t, server)
	}

	ca := testkit.NewCA(t)
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "version: STSv1\r\nmode: testing\r\nmx: *.example.net\r\nmax_age: 86400\r\nx: \u0090\r\n") // A client that goes away is noticed by the test.
	}))
	web.TLS = ca.ServerConfig(t, "mta-sts.example.net")
	web.Config.ErrorLog = log.New(io.Discard, "", 0)
	web.StartTLS()
	t.Cleanup(web.Close)
	var out bytes.Buffer
	e := &env{out: &out, servers: []string{strings.TrimPrefix(server, "-dns=")}}
	err := runMTASTSLookup(t.Context(), e, []string{"example.net"}, mtasts.FetchOptions{
		RootCAs: ca.Pool(),
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, web.Listener.Addr().String())
		},
	})
	want := "_mta-sts.example.net TXT \"v=STSv1; id=2026; x=y;\"\nDNSSEC: verified\n\nhttps://mta-sts.example.net/.well-known/mta-sts.txt\n" +
		"\tversion: STSv1\n\tmode: testing\n\tmx: *.example.net\n\tmax_age: 86400\n\tx: \\u0090\nvalid for 24h0m0s\n\n" +
		"mx mail.example.net is allowed\nmx backup.example.org is NOT allowed\n"
	if out.String() != want || err == nil || !strings.Contains(err.Error(), "policy does not allow 1 of 2 mx hosts") {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

func TestTLSRPTLookupExplainsTheRecord(t *testing.T) {
	t.Parallel()
	server := dnsServer(t, tlsZone)
	for _, tc := range []commandCase{
		{"tlsrpt|lookup|example.net", 0, "DNSSEC: verified\n\nreports by mail to tls@example.net\nreports by POST to https://example.net/tls\nnot usable: \"ftp:x\"", ""},
		{"tlsrpt|lookup|example.net", 0, "not usable: \"mailto:x\": ", ""},
		{"tlsrpt|lookup|example.net", 0, "a=b: unknown, ignored\n", ""},
		{"tlsrpt|lookup|nosuch.example", 1, "", "tlsrpt: no record at _smtp._tls.nosuch.example (DNSSEC: verified)"},
		{"tlsrpt|lookup|two.example", 1, "", "multiple records"},
		{"tlsrpt|lookup|bad.example", 1, "_smtp._tls.bad.example TXT \"v=TLSRPTv1; rua=x\"\n", `expected ":"`},
		{"tlsrpt|lookup|a b", 2, "", "malformed name"},
		{"tlsrpt|lookup", 2, "", "usage: mox tlsrpt lookup domain"},
	} {
		tc.check(t, server)
	}
}

const tlsReport = `{"organization-name":"Org\u001b","date-range":{"start-datetime":"2026-01-02T00:00:00Z","end-datetime":"2026-01-02T23:59:59Z"},
"contact-info":"a@b.example","report-id":"1","policies":[{"policy":{"policy-type":"sts","policy-domain":"example.net","policy-string":["mode: none"],"mx-host":"*.example.net"},
"summary":{"total-successful-session-count":5,"total-failure-session-count":1},"failure-details":[{"result-type":"certificate-expired","failed-session-count":1,
"sending-mta-ip":"192.0.2.1","receiving-mx-hostname":"mx.example.net"}]}]}`

func TestTLSRPTParseReportMsgPrintsReports(t *testing.T) {
	t.Parallel()
	msg := "Content-Type: application/tlsrpt+json\r\n\r\n" + tlsReport
	want := "report 1 of Org\\x1b (a@b.example)\nfrom 2026-01-02T00:00:00Z to 2026-01-02T23:59:59Z\n\n" +
		"sts for example.net: 5 sessions succeeded, 1 failed\n\tmx *.example.net\n\tpolicy mode: none\n" +
		"\t1 certificate-expired, from 192.0.2.1, to mx.example.net\n"
	dir := testkit.Dir(t, map[string]string{"a.eml": msg, "b.json": tlsReport, "c.eml": "Subject: hi\r\n\r\nhi\r\n"})
	mox(t, msg, "tlsrpt", "parsereportmsg").want(t, 0, want, "")
	mox(t, "", "tlsrpt", "parsereportmsg", filepath.Join(dir, "a.eml"), filepath.Join(dir, "b.json")).want(t, 0, want+"\n"+want, "")
	mox(t, tlsReport, "tlsrpt", "parsereportmsg", "-json").want(t, 0, `"mx-host": [`, "")
	mox(t, "", "tlsrpt", "parsereportmsg", filepath.Join(dir, "c.eml")).want(t, 1, "", "c.eml: tlsrpt: no report in message")
	mox(t, "", "tlsrpt", "parsereportmsg", filepath.Join(dir, "nosuch")).want(t, 1, "", "nosuch")
	mox(t, "{", "tlsrpt", "parsereportmsg").want(t, 1, "", "standard input: tlsrpt: malformed report")
}

func TestDANEMakeRecordTakesCertificatesAndKeys(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	cert := ca.Issue(t, testkit.ECDSA, "mail.example.net")
	dir := t.TempDir()
	certFile, keyFile := ca.WritePEM(t, dir, cert)
	spki := sha256.Sum256(cert.Leaf.RawSubjectPublicKeyInfo)
	want := fmt.Sprintf("3 1 1 %x\n", spki)
	for _, args := range [][]string{
		{"3", "1", "1", certFile},
		{"dane-ee", "spki", "sha2-256", keyFile},
	} {
		mox(t, "", append([]string{"dane", "makerecord"}, args...)...).want(t, 0, want, "")
	}
	public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: cert.Leaf.RawSubjectPublicKeyInfo}))
	mox(t, public, "dane", "makerecord", "3", "1", "1").want(t, 0, want, "")
	mox(t, "", "dane", "makerecord", "dane-ta", "cert", "full", filepath.Join(dir, "ca.pem")).want(t, 0, fmt.Sprintf("2 0 0 %x\n", ca.Cert.Raw), "")
	mox(t, "", "dane", "makerecord", "2", "0", "sha2-512", filepath.Join(dir, "ca.pem")).want(t, 0, "2 0 2 ", "")

	mox(t, public, "dane", "makerecord", "3", "0", "1").want(t, 1, "", "no certificate in pem")
	mox(t, "", "dane", "makerecord", "3", "1", "1").want(t, 1, "", "no certificate or key in pem")
	for _, typ := range []string{"CERTIFICATE", "PUBLIC KEY", "PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"} {
		junk := string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: []byte("junk")}))
		mox(t, junk, "dane", "makerecord", "3", "1", "1").want(t, 1, "", "mox dane makerecord: ")
	}
	mox(t, "", "dane", "makerecord", "4", "1", "1").want(t, 2, "", `unknown usage "4", use one of`)
	mox(t, "", "dane", "makerecord", "3", "2", "1").want(t, 2, "", `unknown selector "2"`)
	mox(t, "", "dane", "makerecord", "3", "1", "3").want(t, 2, "", `unknown match type "3"`)
	mox(t, "", "dane", "makerecord", "3", "1").want(t, 2, "", "usage: mox dane makerecord")
	mox(t, "", "dane", "makerecord", "3", "1", "1", filepath.Join(dir, "nosuch")).want(t, 1, "", "nosuch")
}

// smtpServer starts an SMTP server that knows EHLO, STARTTLS and QUIT, and returns its
// port.
func smtpServer(t *testing.T, config *tls.Config, immediate bool) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			if immediate {
				conn = tls.Server(conn, config)
			}
			serveSMTP(conn, config, !immediate && config != nil)
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// serveSMTP serves one connection. Errors mean that the client has ended.
func serveSMTP(conn net.Conn, config *tls.Config, offer bool) {
	defer func() { _ = conn.Close() }()
	br := bufio.NewReader(conn)
	reply := func(s string) { _, _ = io.WriteString(conn, s+"\r\n") }
	reply("220 mail.example.net ready")
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return
		}
		switch line = strings.TrimSuffix(line, "\r\n"); {
		case strings.HasPrefix(line, "EHLO") && offer:
			reply("250-mail.example.net\r\n250 STARTTLS")
		case strings.HasPrefix(line, "EHLO"):
			reply("250 mail.example.net")
		case line == "STARTTLS" && offer:
			reply("220 go")
			conn = tls.Server(conn, config)
			br = bufio.NewReader(conn)
			offer = false
		case line == "QUIT":
			reply("221 bye")
			return
		default:
			reply("500 what is " + line)
		}
	}
}

func TestSMTPDialShowsWhatWasNegotiatedAndConnectsStandardInput(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	config := ca.ServerConfig(t, "mail.example.net")
	starttls, immediate, plain := smtpServer(t, config, false), smtpServer(t, config, true), smtpServer(t, nil, false)
	server := dnsServer(t, "local.example A 127.0.0.1\n")
	const bye = "500 what is NOOP\r\n221 bye\r\n"
	for _, tc := range []struct {
		args     string
		code     int
		out, err string
	}{
		{"127.0.0.1:" + starttls, 0, bye, "greeting: 220 mail.example.net ready\ntls: TLS 1.3, TLS_AES_128_GCM_SHA256, key exchange X25519MLKEM768\ncertificate 0: subject"},
		{"127.0.0.1:" + starttls, 0, bye, "certificate is NOT valid: no name to verify"},
		{"local.example:" + starttls, 0, bye, "addresses [127.0.0.1], DNSSEC: verified\nconnected to 127.0.0.1:" + starttls},
		{"-tlsversionmax|1.2|-tlsciphersuites|tls_ecdhe_ecdsa_with_aes_256_gcm_sha384|-tlscurves|curvep384|127.0.0.1:" + starttls, 0, bye,
			"tls: TLS 1.2, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, key exchange CurveP384"},
		{"-tlscurves|X25519|-tlsnosessiontickets|-tlsnodynamicrecordsizing|-tlsrenegotiation|once|127.0.0.1:" + starttls, 0, bye, "key exchange X25519\n"},
		{"-notls|127.0.0.1:" + starttls, 0, bye, "tls: not used\n"},
		{"127.0.0.1:" + plain, 0, bye, "tls: not used\n"},
		{"-immediatetls|127.0.0.1:" + immediate, 0, bye, "tls: TLS 1.3"},
		{"-tlsverify|local.example:" + starttls, 1, "", "certificate"},
		{"-forcetls|127.0.0.1:" + plain, 1, "", "500 what is STARTTLS"},
		{"nosuch.example", 1, "", "no such record"},
		{"127.0.0.1:1", 1, "", "connect: "},
		{"-tlsversionmin|1.3|-tlsversionmax|1.2|127.0.0.1", 2, "", "-tlsversionmin is larger"},
		{"-tlsversionmin|ssl3|127.0.0.1", 2, "", `flag -tlsversionmin: unknown value "ssl3", use 1.0, 1.1, 1.2, 1.3`},
		{"-tlscurves|x|127.0.0.1", 2, "", "X25519MLKEM768"},
		{"-tlsciphersuites|x|127.0.0.1", 2, "", "flag -tlsciphersuites: unknown value"},
		{"-tlsrenegotiation|x|127.0.0.1", 2, "", "use freely, never, once"},
		{"-forcetls|-notls|127.0.0.1", 2, "", "exclude one another"},
		{"-ehlohostname|a b|127.0.0.1", 2, "", "flag -ehlohostname"},
		{"-tlsservername|a b|127.0.0.1", 2, "", "flag -tlsservername"},
		{"127.0.0.1:0", 2, "", `"0" is not a port number`},
		{"127.0.0", 2, "", "neither a name nor an IP address"},
		{"a..b", 2, "", "empty label"},
		{"a|b", 2, "", "usage: mox smtp dial"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			r := mox(t, "NOOP\nQUIT\n", append([]string{server, "smtp", "dial"}, strings.Split(tc.args, "|")...)...)
			if r.code != tc.code || r.out != tc.out || !strings.Contains(r.err, tc.err) {
				t.Errorf("got %+v, expected %+v", r, tc)
			}
		})
	}
}

func TestDANECommandsVerifyServers(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	config := ca.ServerConfig(t, "mail.example.net")
	leaf, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	right := fmt.Sprintf("3 1 1 %x", sha256.Sum256(leaf.RawSubjectPublicKeyInfo))
	wrong := fmt.Sprintf("3 1 1 %x", sha256.Sum256(nil))
	anchor := fmt.Sprintf("2 0 1 %x", sha256.Sum256(ca.Cert.Raw))
	starttls, immediate := smtpServer(t, config, false), smtpServer(t, config, true)
	zone := strings.NewReplacer("PORT", starttls, "WRONG", wrong, "ANCHOR", anchor).Replace(`
good.example MX 10 mail.example.net
alias.example CNAME good.example
wrong.example MX 10 wrong.example.net
both.example MX 10 mail.example.net
both.example MX 20 wrong.example.net
none.example A 127.0.0.1
odd.example A 127.0.0.1
insecure.example MX 10 mail.example.net
mail.example.net A 127.0.0.1
wrong.example.net A 127.0.0.1
cname.example.net CNAME mail.example.net
_PORT._tcp.mail.example.net TLSA ANCHOR
_PORT._tcp.wrong.example.net TLSA WRONG
_PORT._tcp.odd.example TLSA 3 1 1 ab
`) + fmt.Sprintf("_%s._tcp.mail.example.net TLSA %s\n_%s._tcp.wrong.example.net TLSA %s\n", immediate, right, immediate, wrong)
	server := dnsServer(t, zone)
	mx := "dane|dialmx|-ehlohostname|x.example|-port|" + starttls + "|"
	for _, tc := range []commandCase{
		{mx + "good.example", 0, "DNSSEC: verified\n\nmail.example.net\n\t_" + starttls + "._tcp.mail.example.net TLSA dane-ta(2) cert(0)", ""},
		{mx + "good.example", 0, "\tverified by tlsa record dane-ta(2)", ""},
		{mx + "alias.example", 0, "alias.example is an alias of good.example\n", ""},
		{mx + "good.example|cname.example.net", 0, "note: cname.example.net is not one of the mx hosts\n\ncname.example.net\n\talias of mail.example.net\n", ""},
		{mx + "wrong.example", 1, "NOT verified: tls: ", "1 of 1 hosts are not verified with DANE"},
		{mx + "both.example", 1, "\tverified by tlsa", "1 of 2 hosts"},
		{mx + "none.example", 1, "no mx records: mail is for host none.example\n", "1 of 1 hosts"},
		{mx + "none.example", 1, "NOT verified: no tlsa records", "1 of 1 hosts"},
		{mx + "odd.example", 1, "\tnot usable: tlsa record \"3 1 1 ab\": ", "1 of 1 hosts"},
		{mx + "insecure.example", 1, "(the mx records of the domain are not verified)", "1 of 1 hosts"},
		{mx + "nosuch.example", 1, "", "dane: lookup of mx records failed"},
		{mx + "bogus.example", 1, "", "dnssec verification failed"},
		{mx + "a b", 2, "", "malformed name"},
		{"dane|dialmx|-port|0|good.example", 2, "", "usage: mox dane dialmx"},

		{"dane|dial|wrong.example.net:" + immediate, 1, "", "no certificate matches 1 usable tlsa records"},
		{"dane|dial|-usages|2|mail.example.net:" + immediate, 1, "", "usage dane-ee(3) is not for this protocol"},
		{"dane|dial|none.example:" + immediate, 1, "", "flag -dns names another"},
		{"dane|dial|-usages|x|mail.example.net:" + immediate, 2, "", `unknown usage "x"`},
		{"dane|dial|mail.example.net", 1, "", "missing port"},
		{"dane|dial", 2, "", "usage: mox dane dial"},
	} {
		tc.check(t, server)
	}
	mox(t, "QUIT\r\n", server, "dane", "dial", "-usages", "dane-ee", "mail.example.net:"+immediate).want(t, 0,
		"220 mail.example.net ready\r\n221 bye\r\n", "verified by tlsa record dane-ee(3) spki(1) sha2-256(1)")
}
