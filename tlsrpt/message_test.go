package tlsrpt_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"mox/tlsrpt"
)

// mail returns a message with a part of a media type.
func mail(outer, fields, body string) string {
	return "From: a@b.example\r\nTLS-Report-Domain: c.example\r\nTLS-Report-Submitter: b.example\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: " + outer + "; boundary=x\r\n\r\n--x\r\n\r\nA report.\r\n--x\r\n" + fields + "\r\n\r\n" + body + "\r\n--x--\r\n"
}

func encode(b []byte) string {
	s := base64.StdEncoding.EncodeToString(b)
	var lines []string
	for len(s) > 76 {
		lines = append(lines, s[:76])
		s = s[76:]
	}
	return strings.Join(append(lines, s), "\r\n")
}

const multipart = `multipart/report; report-type="tlsrpt"`

func TestReportsAreFoundInMessages(t *testing.T) {
	t.Parallel()
	zipped := encode(compress(t, strings.NewReader(appendixB)))
	for _, tc := range []struct {
		name, msg string
		err       error
	}{
		{"gzip", mail(multipart, "Content-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64", zipped), nil},
		{"json", mail(multipart, "Content-Type: application/tlsrpt+json", appendixB), nil},
		{"json with the type of gzip", mail(multipart, "Content-Type: application/tlsrpt+gzip", appendixB), nil},
		{"gzip with the type of json", mail(multipart, "Content-Type: application/tlsrpt+json\r\nContent-Transfer-Encoding: base64", zipped), nil},
		{"another multipart", mail("multipart/mixed", "Content-Type: application/tlsrpt+json", appendixB), nil},
		{"the type of any file", mail(multipart, "Content-Type: application/octet-stream; name=\"A.JSON.GZ\"\r\nContent-Transfer-Encoding: base64", zipped), nil},
		{"no multipart", "Content-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n" + zipped, nil},
		{"inside a message", mail("multipart/mixed", "Content-Type: message/rfc822", mail(multipart, "Content-Type: application/tlsrpt+json", appendixB)), tlsrpt.ErrNoReport},
		{"any file in a message that is no report", mail("multipart/mixed", "Content-Type: application/json; name=a.json", appendixB), tlsrpt.ErrNoReport},
		{"no report", mail(multipart, "Content-Type: text/plain", appendixB), tlsrpt.ErrNoReport},
		{"nothing", "", tlsrpt.ErrNoReport},
		{"malformed", mail(multipart, "Content-Type: application/tlsrpt+json", "<xml>"), tlsrpt.ErrReport},
		{"cut", mail(multipart, "Content-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64", zipped[:len(zipped)/2]), tlsrpt.ErrReport},
		{"unknown encoding", mail(multipart, "Content-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: x", zipped), tlsrpt.ErrReport},
		{"bomb", mail(multipart, "Content-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64",
			encode(compress(t, strings.NewReader(strings.Repeat(" ", tlsrpt.MaxReportSize+1))))), tlsrpt.ErrTooLarge},
	} {
		r, err := tlsrpt.ParseMessage(strings.NewReader(tc.msg), int64(len(tc.msg)))
		if !errors.Is(err, tc.err) || err == nil && r.OrganizationName != "Company-X" {
			t.Errorf("%s: got %+v, %v, expected error %v", tc.name, r, err, tc.err)
		}
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add([]byte(mail(multipart, "Content-Type: application/tlsrpt+json", appendixB)))
	f.Add([]byte(mail(multipart, "Content-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64", encode(compress(f, strings.NewReader(appendixB))))))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := tlsrpt.ParseMessage(bytes.NewReader(data), int64(len(data)))
		if err != nil && !errors.Is(err, tlsrpt.ErrNoReport) && !errors.Is(err, tlsrpt.ErrReport) && !errors.Is(err, tlsrpt.ErrTooLarge) {
			t.Errorf("got %v", err)
		}
	})
}
