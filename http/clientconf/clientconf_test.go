package clientconf

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mox/config"
	"mox/internal/testkit"
)

// Listener is a section Listeners of mox.conf.
const (
	bothListener = `Listeners:
	public:
		IPs:
			- 192.0.2.10
		TLS:
			KeyCerts:
				-
					CertFile: mx.crt
					KeyFile: mx.key
		Submissions:
			Enabled: true
		Submission:
			Enabled: true
		IMAPS:
			Enabled: true
		IMAP:
			Enabled: true
`
	startTLSListener = `Listeners:
	public:
		IPs:
			- 192.0.2.10
		TLS:
			KeyCerts:
				-
					CertFile: mx.crt
					KeyFile: mx.key
		Submission:
			Enabled: true
		IMAP:
			Enabled: true
			Port: 1143
`
	plainListener = `Listeners:
	public:
		IPs:
			- 192.0.2.10
		Submission:
			Enabled: true
			NoRequireSTARTTLS: true
		IMAP:
			Enabled: true
			NoRequireSTARTTLS: true
`
)

const testDomains = `Domains:
	example.org: nil
	mox.example:
		Description: secret <text>
	off.example:
		Disabled: true
	☺.example: nil
	reports.example:
		DMARC:
			Localpart: dmarc
			Domain: example.org
			Account: ann
			Mailbox: DMARC
Accounts:
	ann:
		Domain: example.org
		Destinations:
			ann@example.org: nil
			ann@off.example: nil
			ann@mox.example: nil
			ann@☺.example: nil
`

// testHandlers returns handlers for a configuration with listeners.
func testHandlers(t testing.TB, listeners string) *Handlers {
	t.Helper()
	return testHandlersDomains(t, listeners, testDomains)
}

func testHandlersDomains(t testing.TB, listeners, domains string) *Handlers {
	t.Helper()
	dir := t.TempDir()
	static := "DataDir: data\nLogLevel: info\nHostname: mx.example.org\n" + listeners + "Postmaster:\n\tAccount: ann\n\tMailbox: Postmaster\n"
	for name, text := range map[string]string{config.StaticName: static, config.DynamicName: domains} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0600); err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	h, err := config.Open(filepath.Join(dir, config.StaticName), log)
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{Config: h, Log: log})
}

// changed returns a text with a part of it replaced.
func changed(t *testing.T, s, old, replacement string) string {
	t.Helper()
	if strings.Count(s, old) != 1 {
		t.Fatalf("%q is not once in %q", old, s)
	}
	return strings.Replace(s, old, replacement, 1)
}

// do makes a request. A URL without host is for autoconfig.example.org.
func do(h http.Handler, method, url, body string) *httptest.ResponseRecorder {
	if strings.HasPrefix(url, "/") {
		url = "https://autoconfig.example.org" + url
	}
	r := httptest.NewRequest(method, url, strings.NewReader(body))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// wantStatus checks the status, and that what is not a document is text for a person.
func wantStatus(t *testing.T, w *httptest.ResponseRecorder, code int) {
	t.Helper()
	if w.Code != code {
		t.Errorf("got status %d, want %d: %s", w.Code, code, w.Body)
	}
	if ct := w.Header().Get("Content-Type"); code != http.StatusOK && !strings.HasPrefix(ct, "text/plain") {
		t.Errorf("got content type %q for an error", ct)
	}
}

// wantHeaders checks header fields of an answer.
func wantHeaders(t *testing.T, w *httptest.ResponseRecorder, contentType string) {
	t.Helper()
	if got := w.Header().Get("Content-Type"); got != contentType {
		t.Errorf("got content type %q, want %q", got, contentType)
	}
	if got := w.Header().Get("Cache-Control"); !strings.Contains(got, "no-cache") {
		t.Errorf("got cache control %q: settings can change at any time", got)
	}
}

func TestMethodsAreThoseOfTheProtocol(t *testing.T) {
	t.Parallel()
	h := testHandlers(t, bothListener)
	tests := []struct {
		name    string
		handler http.Handler
		url     string
		allow   string
	}{
		{"autoconfig", h.Autoconfig(), AutoconfigPath, "GET, HEAD"},
		{"profile", h.AppleProfile(), AppleProfilePath, "GET, HEAD"},
		{"autodiscover", h.Autodiscover(), AutodiscoverPath, "POST"},
		{"MTA-STS", h.MTASTSPolicy(), MTASTSPath, "GET, HEAD"},
	}
	for _, tt := range tests {
		for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPost, http.MethodGet} {
			if strings.Contains(tt.allow, method) {
				continue
			}
			w := do(tt.handler, method, tt.url, "")
			wantStatus(t, w, http.StatusMethodNotAllowed)
			if got := w.Header().Get("Allow"); got != tt.allow {
				t.Errorf("%s %s: got Allow %q, want %q", method, tt.name, got, tt.allow)
			}
		}
	}
}

func TestOnlyDomainsThatAreOursHaveSettings(t *testing.T) {
	t.Parallel()
	h := testHandlers(t, bothListener)
	for _, domain := range []string{"other.example", "off.example", "reports.example", "sub.example.org", "mx.example.org"} {
		wantStatus(t, do(h.Autoconfig(), "GET", AutoconfigPath+"?emailaddress=ann@"+domain, ""), http.StatusNotFound)
		wantStatus(t, do(h.Autoconfig(), "GET", "https://autoconfig."+domain+AutoconfigPath, ""), http.StatusNotFound)
		wantStatus(t, do(h.AppleProfile(), "GET", AppleProfilePath+"?addresses=ann@"+domain, ""), http.StatusNotFound)
		wantStatus(t, do(h.AppleProfile(), "GET", AppleProfilePath+"?addresses=ann@example.org,ann@"+domain, ""), http.StatusNotFound)
		wantStatus(t, do(h.AppleProfile(), "GET", AppleQRCodePath+"?addresses=ann@"+domain, ""), http.StatusNotFound)
		wantStatus(t, do(h.Autodiscover(), "POST", AutodiscoverPath, outlookRequest("ann@"+domain)), http.StatusNotFound)
	}
}

func TestAnswersDoNotTellWhichAddressesExist(t *testing.T) {
	t.Parallel()
	h := testHandlers(t, bothListener)
	get := func(localpart string) string {
		l := []*httptest.ResponseRecorder{
			do(h.Autoconfig(), "GET", AutoconfigPath+"?emailaddress="+localpart+"@example.org", ""),
			do(h.AppleProfile(), "GET", AppleProfilePath+"?addresses="+localpart+"@example.org", ""),
			do(h.Autodiscover(), "POST", AutodiscoverPath, outlookRequest(localpart+"@example.org")),
		}
		var b strings.Builder
		for _, w := range l {
			wantStatus(t, w, http.StatusOK)
			b.WriteString(w.Body.String())
		}
		// Identifiers are made from the address.
		return uuids.ReplaceAllString(strings.ReplaceAll(b.String(), localpart+"@", "x@"), "uuid")
	}
	if a, b := get("ann"), get("nobody"); a != b {
		t.Errorf("answers differ for an address that does not exist:\n%s", testkit.Diff(a, b))
	}
}

func TestSettingsNeedServicesWithTLS(t *testing.T) {
	t.Parallel()
	h := testHandlers(t, plainListener)
	wantStatus(t, do(h.Autoconfig(), "GET", AutoconfigPath+"?emailaddress=ann@example.org", ""), http.StatusNotFound)
	wantStatus(t, do(h.AppleProfile(), "GET", AppleProfilePath+"?addresses=ann@example.org", ""), http.StatusNotFound)
	wantStatus(t, do(h.Autodiscover(), "POST", AutodiscoverPath, outlookRequest("ann@example.org")), http.StatusNotFound)
}

func TestWhatIsNotAnAddressIsRefusedInWords(t *testing.T) {
	t.Parallel()
	h := testHandlers(t, bothListener)
	for _, address := range []string{"ann", "ann@", "@example.org", "ann%20b@example.org", "%3Cann@example.org%3E", "ann@example.org%00", strings.Repeat("a", 400) + "@example.org"} {
		for _, w := range []*httptest.ResponseRecorder{
			do(h.Autoconfig(), "GET", AutoconfigPath+"?emailaddress="+address, ""),
			do(h.AppleProfile(), "GET", AppleProfilePath+"?addresses="+address, ""),
		} {
			wantStatus(t, w, http.StatusBadRequest)
			if !strings.Contains(w.Body.String(), "not an e-mail address") {
				t.Errorf("%q: got %q", address, w.Body)
			}
		}
	}
}

func FuzzRequests(f *testing.F) {
	h := testHandlers(f, bothListener)
	f.Add("ann@example.org", outlookRequest("ann@example.org"))
	f.Add("ann@example.org,bob@mox.example", "<Autodiscover>")
	f.Add("\"a b\"@☺.example", "")
	f.Fuzz(func(t *testing.T, address, body string) {
		query := url.Values{"emailaddress": {address}, "addresses": {address}, "name": {body}}
		for _, tt := range []struct {
			handler      http.Handler
			method, path string
		}{{h.Autoconfig(), "GET", AutoconfigPath}, {h.AppleProfile(), "GET", AppleProfilePath}, {h.Autodiscover(), "POST", AutodiscoverPath}} {
			r := httptest.NewRequest(tt.method, "https://autoconfig.example.org"+tt.path, strings.NewReader(body))
			r.URL.RawQuery = query.Encode()
			w := httptest.NewRecorder()
			tt.handler.ServeHTTP(w, r)
			if w.Code == http.StatusInternalServerError {
				t.Fatalf("internal error for %q, %q", address, body)
			}
			if ct := w.Header().Get("Content-Type"); w.Code == http.StatusOK && strings.Contains(ct, "xml") {
				wellFormed(t, w.Body)
			}
		}
	})
}
