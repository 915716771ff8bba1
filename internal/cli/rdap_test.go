package cli

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"mox/dns"
	"mox/rdap"
)

func TestDomainAgeIsPrinted(t *testing.T) {
	t.Parallel()
	var srv *httptest.Server
	srv = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/list" {
			fmt.Fprintf(w, `{"services": [[["example"], [%q]]]}`, srv.URL)
			return
		}
		fmt.Fprintf(w, `{"objectClassName": "domain", "events": [{"eventAction": "registration", "eventDate": %q}]}`, time.Now().Add(-49*time.Hour).UTC().Format(time.RFC3339))
	}))
	defer srv.Close()
	var out bytes.Buffer
	c := rdap.New(rdap.Options{HTTP: srv.Client(), Bootstrap: srv.URL + "/list"})
	if err := domainAge(t.Context(), &env{out: &out}, c, dns.Domain{ASCII: "mox.example"}); err != nil || !strings.HasPrefix(out.String(), "mox.example was registered 20") || !strings.HasSuffix(out.String(), ", 2 days ago\n") {
		t.Errorf("got %q, %v", &out, err)
	}
	mox(t, "", "rdap", "domainage").want(t, 2, "", "usage")
	mox(t, "", "rdap", "domainage", "a b").want(t, 1, "", "domain")
}
