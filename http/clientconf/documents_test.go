package clientconf

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"mox/internal/testkit"
)

var uuids = regexp.MustCompile(`[0-9A-F]{8}-[0-9A-F]{4}-8[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}`)

// tool runs a program with a document as input, and returns its output.
func tool(t *testing.T, input []byte, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(testkit.Tool(t, name), args...)
	var stderr strings.Builder
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, &stderr)
	}
	return string(out)
}

// wellFormed checks that a document is XML.
func wellFormed(t *testing.T, r io.Reader) {
	t.Helper()
	d := xml.NewDecoder(r)
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
	}
}

// outlookRequest is what Outlook sends.
func outlookRequest(address string) string {
	return `<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006">
  <Request>
    <EMailAddress>` + address + `</EMailAddress>
    <AcceptableResponseSchema>http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema>
  </Request>
</Autodiscover>`
}

func TestAutoconfigDocuments(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, listeners, url string
	}{
		{"tls", bothListener, AutoconfigPath + "?emailaddress=ann@example.org"},
		{"starttls", startTLSListener, AutoconfigPath + "?emailaddress=ann%2Bshop@mox.example"},
		{"https", strings.ReplaceAll(strings.ReplaceAll(bothListener, "issions:\n\t\t\tEnabled: true", "issions:\n\t\t\tEnabled: true\n\t\t\tEnabledOnHTTPS: true"), "IMAPS:\n\t\t\tEnabled: true", "IMAPS:\n\t\t\tEnabled: true\n\t\t\tEnabledOnHTTPS: true"), AutoconfigPath + "?emailaddress=ann@example.org"},
		{"placeholder", bothListener, "https://AUTOCONFIG.example.org:443" + AutoconfigPath},
		{"escaped", bothListener, AutoconfigPath + "?emailaddress=" + url.QueryEscape(`a&b'`+"@☺.example")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := testHandlers(t, tt.listeners)
			w := do(h.Autoconfig(), "GET", tt.url, "")
			wantStatus(t, w, http.StatusOK)
			wantHeaders(t, w, "text/xml; charset=utf-8")
			testkit.Golden(t, "testdata/autoconfig-"+tt.name+".xml", w.Body.Bytes())
			tool(t, w.Body.Bytes(), "xmllint", "--noout", "--relaxng", "testdata/autoconfig.rng", "-")
		})
	}
}

func TestAutodiscoverDocuments(t *testing.T) {
	t.Parallel()
	for name, listeners := range map[string]string{"tls": bothListener, "starttls": startTLSListener} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := testHandlers(t, listeners)
			w := do(h.Autodiscover(), "POST", AutodiscoverPath, outlookRequest("ann@example.org"))
			wantStatus(t, w, http.StatusOK)
			wantHeaders(t, w, "text/xml; charset=utf-8")
			testkit.Golden(t, "testdata/autodiscover-"+name+".xml", w.Body.Bytes())
			tool(t, w.Body.Bytes(), "xmllint", "--noout", "--relaxng", "testdata/autodiscover.rng", "-")
		})
	}
}

func TestAutodiscoverRequestsThatCannotBeAnswered(t *testing.T) {
	t.Parallel()
	h := testHandlers(t, bothListener)
	tests := []struct {
		name, body string
		code       int
		text       string
	}{
		{"no XML", "hello", http.StatusBadRequest, "not an Autodiscover document"},
		{"other document", "<x/>", http.StatusBadRequest, "not an Autodiscover document"},
		{"entity", `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>` + outlookRequest("&e;@example.org"), http.StatusBadRequest, "not an Autodiscover document"},
		{"no address", outlookRequest(""), http.StatusBadRequest, "not an e-mail address"},
		{"ActiveSync", strings.ReplaceAll(outlookRequest("ann@example.org"), "outlook/responseschema/2006a", "mobilesync/responseschema/2006"), http.StatusBadRequest, "IMAP and SMTP only"},
		{"too large", outlookRequest(strings.Repeat(" ", maxAutodiscover) + "ann@example.org"), http.StatusRequestEntityTooLarge, "larger than"},
	}
	for _, tt := range tests {
		w := do(h.Autodiscover(), "POST", AutodiscoverPath, tt.body)
		wantStatus(t, w, tt.code)
		if !strings.Contains(w.Body.String(), tt.text) {
			t.Errorf("%s: got %q, want %q in it", tt.name, w.Body, tt.text)
		}
	}
}

func TestAppleProfile(t *testing.T) {
	t.Parallel()
	h := testHandlers(t, bothListener)
	w := do(h.AppleProfile(), "GET", AppleProfilePath+"?addresses=ann@example.org,ann@mox.example&name="+url.QueryEscape("Ann <& Müller>"), "")
	wantStatus(t, w, http.StatusOK)
	wantHeaders(t, w, "application/x-apple-aspen-config; charset=utf-8")
	if got := w.Header().Get("Content-Disposition"); got != `attachment; filename=email-account-ann-example-org.mobileconfig` {
		t.Errorf("got content disposition %q", got)
	}
	testkit.Golden(t, "testdata/profile.xml", w.Body.Bytes())
	if n := len(uuids.FindAllString(w.Body.String(), -1)); n != 6 {
		t.Errorf("got %d UUIDs, want 6: profile and two accounts, each with identifier", n)
	}

	// A reader of property lists that is not ours.
	out := tool(t, w.Body.Bytes(), "python3", "-c", "import json, plistlib, sys; print(json.dumps(plistlib.loads(sys.stdin.buffer.read())))")
	var p struct {
		PayloadType    string
		PayloadVersion int
		PayloadContent []map[string]any
	}
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if p.PayloadType != "Configuration" || p.PayloadVersion != 1 || len(p.PayloadContent) != 2 {
		t.Fatalf("got %+v", p)
	}
	for i, address := range []string{"ann@example.org", "ann@mox.example"} {
		want := map[string]any{
			"PayloadType":                      "com.apple.mail.managed",
			"EmailAccountType":                 "EmailTypeIMAP",
			"EmailAccountName":                 "Ann <& Müller>",
			"EmailAddress":                     address,
			"IncomingMailServerUsername":       address,
			"IncomingMailServerHostName":       "mx.example.org",
			"IncomingMailServerPortNumber":     993.0,
			"IncomingMailServerUseSSL":         true,
			"IncomingMailServerAuthentication": "EmailAuthPassword",
			"OutgoingMailServerPortNumber":     465.0,
			"OutgoingMailServerUseSSL":         true,
		}
		for k, v := range want {
			if got := p.PayloadContent[i][k]; got != v {
				t.Errorf("payload %d: got %s %v, want %v", i, k, got, v)
			}
		}
		if _, ok := p.PayloadContent[i]["IncomingPassword"]; ok {
			t.Errorf("payload %d has a password", i)
		}
	}
}

func TestAppleProfileNeverTurnsTLSOff(t *testing.T) {
	t.Parallel()
	w := do(testHandlers(t, startTLSListener).AppleProfile(), "GET", AppleProfilePath+"?addresses=ann@example.org", "")
	wantStatus(t, w, http.StatusOK)
	if body := w.Body.String(); strings.Contains(body, "<false/>") || strings.Contains(body, "EmailAccountName") || !strings.Contains(body, "<integer>1143</integer>") {
		t.Errorf("got %s", body)
	}
}

func TestAppleProfileHasLimits(t *testing.T) {
	t.Parallel()
	h := testHandlers(t, bothListener)
	ask := func(path string, addresses int, name string) string {
		l := make([]string, addresses)
		for i := range l {
			l[i] = strings.Repeat("a", 60) + "@example.org"
		}
		return path + "?addresses=" + strings.Join(l, ",") + "&name=" + url.QueryEscape(name)
	}
	wantStatus(t, do(h.AppleProfile(), "GET", ask(AppleProfilePath, maxAddresses, strings.Repeat("n", maxName)), ""), http.StatusOK)
	wantStatus(t, do(h.AppleProfile(), "GET", ask(AppleProfilePath, maxAddresses+1, ""), ""), http.StatusBadRequest)
	wantStatus(t, do(h.AppleProfile(), "GET", ask(AppleProfilePath, 1, strings.Repeat("n", maxName+1)), ""), http.StatusBadRequest)
	wantStatus(t, do(h.AppleProfile(), "GET", ask(AppleProfilePath, 1, "a\nb"), ""), http.StatusBadRequest)
	wantStatus(t, do(h.AppleProfile(), "GET", ask(AppleQRCodePath, maxAddresses, strings.Repeat("n", maxName)), ""), http.StatusBadRequest)
}

func TestQRCodeIsThatOfTheURLOfTheProfile(t *testing.T) {
	t.Parallel()
	h := testHandlers(t, bothListener)
	w := do(h.AppleProfile(), "GET", AppleQRCodePath+"?addresses=ann@example.org&name=Ann", "")
	wantStatus(t, w, http.StatusOK)
	wantHeaders(t, w, "image/png")
	data := w.Body.Bytes()
	if _, err := png.Decode(bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if got := tool(t, data, "zbarimg", "--quiet", "--raw", "png:-"); strings.TrimSpace(got) != "https://autoconfig.example.org/profile.mobileconfig?addresses=ann%40example.org&name=Ann" {
		t.Errorf("got %q", got)
	}
}

func TestHeadHasNoBodyButTheSameHeader(t *testing.T) {
	t.Parallel()
	w := do(testHandlers(t, bothListener).Autoconfig(), "HEAD", AutoconfigPath+"?emailaddress=ann@example.org", "")
	wantStatus(t, w, http.StatusOK)
	wantHeaders(t, w, "text/xml; charset=utf-8")
}
