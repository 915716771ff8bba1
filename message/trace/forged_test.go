package trace

import (
	"bytes"
	"strings"
	"testing"
)

var ours = Ours{AuthservIDs: []string{"mail.example.org", "☺.example"}, Names: []string{"X-Mox-Reason"}}

func TestForgedFieldsAreRemoved(t *testing.T) {
	t.Parallel()
	for name, field := range map[string]string{
		"plain":                  "Authentication-Results: mail.example.org; spf=pass\r\n",
		"case":                   "authentication-RESULTS: Mail.Example.ORG; spf=pass\r\n",
		"space before colon":     "Authentication-Results \t: mail.example.org; spf=pass\r\n",
		"no space after colon":   "Authentication-Results:mail.example.org; none\r\n",
		"folded":                 "Authentication-Results:\r\n mail.example.org;\r\n\tspf=pass\r\n",
		"bare line feeds":        "Authentication-Results:\n mail.example.org;\n spf=pass\n",
		"comment first":          "Authentication-Results: (a (b)) mail.example.org; spf=pass\r\n",
		"quoted":                 "Authentication-Results: \"mail.\\example.org\"; spf=pass\r\n",
		"trailing dot":           "Authentication-Results: mail.example.org.; spf=pass\r\n",
		"version":                "Authentication-Results: mail.example.org 1; spf=pass\r\n",
		"A-label":                "Authentication-Results: xn--74h.example; spf=pass\r\n",
		"U-label":                "Authentication-Results: ☺.EXAMPLE; spf=pass\r\n",
		"other version":          "Authentication-Results: other.example 2; spf=pass\r\n",
		"malformed":              "Authentication-Results: mail.example.org spf=pass\r\n",
		"malformed, no results":  "Authentication-Results: mail.example.org\r\n",
		"malformed, split":       "Authentication-Results: \"mail.\r\n example.org spf=pass\r\n",
		"malformed, id last":     "Authentication-Results: spf=pass smtp.mailfrom=x by mail.example.org\r\n",
		"malformed, A-label":     "Authentication-Results: XN--74H.example spf=pass\r\n",
		"malformed, encoded":     "Authentication-Results: =?utf-8?q?mail.example.org?=; spf=pass\r\n",
		"malformed, mapped":      "Authentication-Results: \uff4dail.example.org spf=pass\r\n",
		"too long":               "Authentication-Results: mail.example.org; spf=pass (" + strings.Repeat("a", 2*MaxLen) + ")\r\n",
		"control character":      "Authentication-Results: mail.\x00example.org; spf=pass\r\n",
		"other name":             "X-MOX-reason : good\r\n",
		"other name, folded":     "X-Mox-Reason:\r\n good\r\n",
		"after line without end": "Authentication-Results: mail.example.org; spf=pass",
	} {
		before, after := "From: a@example.net\r\nno field\r\n", "To: b@example.org\r\n\r\n"
		if !strings.HasSuffix(field, "\n") {
			after = ""
		}
		got, n := RemoveForged([]byte(before+field+after), ours)
		if n != 1 || string(got) != before+after {
			t.Errorf("%s: removed %d, left %q", name, n, got)
		}
	}
}

func TestFieldsOfOthersAreKept(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]string{
		"other service":          "Authentication-Results: mx.example.net; spf=pass\r\n\r\n",
		"our name elsewhere":     "Authentication-Results: mx.example.net; spf=pass (mail.example.org) smtp.mailfrom=mail.example.org\r\n\r\n",
		"below ours":             "Authentication-Results: a.mail.example.org; spf=pass\r\n\r\n",
		"above ours":             "Authentication-Results: example.org; spf=pass\r\n\r\n",
		"malformed, not ours":    "Authentication-Results: mx.example.net spf=pass\r\n\r\n",
		"malformed, other label": "Authentication-Results: xn--e28h.example spf=pass\r\n\r\n",
		"ARC":                    "ARC-Authentication-Results: i=1; mail.example.org; spf=pass\r\n\r\n",
		"longer name":            "X-Mox-Reasons: a\r\n\r\n",
		"body":                   "From: a@example.net\r\n\r\nAuthentication-Results: mail.example.org; spf=pass\r\n",
		"continuation":           "Subject: a\r\n Authentication-Results: mail.example.org; spf=pass\r\n\r\n",
		"no header":              "\r\n",
		"nothing":                "",
	} {
		in := []byte(header)
		got, n := RemoveForged(in, ours)
		if n != 0 || string(got) != header || len(in) > 0 && &got[0] != &in[0] {
			t.Errorf("%s: removed %d, left %q", name, n, got)
		}
	}
}

func TestManyForgedFieldsAreRemovedInLinearTime(t *testing.T) {
	t.Parallel()
	const n = 100_000
	header := bytes.Repeat([]byte("Authentication-Results: mail.example.org; spf=pass\r\nA: b\r\n"), n)
	got, removed := RemoveForged(header, ours)
	if removed != n || len(got) != n*len("A: b\r\n") {
		t.Errorf("removed %d, left %d bytes", removed, len(got))
	}
}
