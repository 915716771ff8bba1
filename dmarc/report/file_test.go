package report_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"mox/dmarc/report"
)

func gz(t testing.TB, data string) string {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write([]byte(data)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// zipped returns a zip file with files of the same content.
func zipped(t testing.TB, data string, names ...string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range names {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFilesAreReadByTheirContent(t *testing.T) {
	t.Parallel()
	good := minimal()
	bomb := "<feedback><report_metadata><org_name>" + strings.Repeat(" ", report.MaxXML)
	manyEntries := zipped(t, "", make([]string, 2000)...)
	oneEntry := []byte(manyEntries)
	binary.LittleEndian.PutUint16(oneEntry[len(oneEntry)-zipEndLen+10:], 1)
	for _, tc := range []struct {
		name, data string
		err        error // Nil for a good one.
	}{
		{"xml", good, nil},
		{"xml after white space", "\r\n\t " + good, nil},
		{"gzip", gz(t, good), nil},
		{"gzip with a line end", gz(t, good) + "\r\n", nil},
		{"gzip twice", gz(t, good) + gz(t, good), nil},
		{"zip", zipped(t, good, "x"), nil},
		{"zip with a line end", zipped(t, good, "x") + "\r\n", nil},
		{"zip with two files", zipped(t, good, "x", "y"), report.ErrZip},
		{"zip with no file", zipped(t, good), errAny},
		{"zip with many files", manyEntries, report.ErrZip},
		{"zip with many files that says one", string(oneEntry), report.ErrZip},
		{"zip in pieces", zipped(t, good, "x")[:100], report.ErrZip},
		{"zip without directory", "PK\x03\x04" + strings.Repeat("x", 1000), report.ErrZip},
		{"zip in gzip", gz(t, zipped(t, good, "x")), errAny},
		{"gzip in gzip", gz(t, gz(t, good)), errAny},
		{"gzip header", "\x1f\x8b", report.ErrGzip},
		{"gzip with garbage", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x00garbage", report.ErrGzip},
		{"half of gzip", gz(t, good)[:100], report.ErrGzip},
		{"bomb in gzip", gz(t, bomb), report.ErrTooLarge},
		{"bomb in zip", zipped(t, bomb, "x"), report.ErrTooLarge},
		{"too large a file", strings.Repeat("x", report.MaxMessage+1), report.ErrTooLarge},
		{"nothing", "", errAny},
		{"text", "Dear Sir", errAny},
		{"nul bytes", strings.Repeat("\x00", 10_000), errAny},
	} {
		f, err := report.Parse([]byte(tc.data))
		switch {
		case tc.err == nil && (err != nil || f.Messages() != 1):
			t.Errorf("%s: got %v, %v", tc.name, f, err)
		case tc.err != nil && err == nil, tc.err != nil && tc.err != errAny && !errors.Is(err, tc.err):
			t.Errorf("%s: got %v, expected %v", tc.name, err, tc.err)
		}
	}
}

const zipEndLen = 22

var errAny = errors.New("any error")

func TestZipThatLiesAboutItsSizeIsBounded(t *testing.T) {
	t.Parallel()
	data := []byte(zipped(t, "<feedback><report_metadata>"+strings.Repeat("<a>"+strings.Repeat(" ", 60_000)+"</a>", 2*report.MaxXML/60_000), "x"))
	// The uncompressed size in the directory, of which there is one entry.
	dir := bytes.Index(data, []byte("PK\x01\x02"))
	binary.LittleEndian.PutUint32(data[dir+24:], 1000)
	if _, err := report.Parse(data); err == nil {
		t.Error("no error")
	}
}

// Bombs must cost time and memory in proportion to what is allowed, whatever they
// would be.
func TestBombsTakeLittleMemory(t *testing.T) {
	bomb := gz(t, "<feedback><report_metadata><org_name>"+strings.Repeat(" ", report.MaxXML))
	attrs := gz(t, "<feedback><x"+strings.Repeat(" a=''", report.MaxXML/5))
	for _, data := range []string{bomb, attrs} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		if _, err := report.Parse([]byte(data)); !errors.Is(err, report.ErrTooLarge) {
			t.Error(err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 32<<20 {
			t.Errorf("allocated %d MiB", n>>20)
		}
	}
}

func TestReportsAreFoundInMessages(t *testing.T) {
	t.Parallel()
	good := minimal()
	b64 := func(s string) string { return base64Lines(s) }
	const head = "From: a@example.org\r\nSubject: Report Domain: example.com Submitter: example.org Report-ID: <1>\r\nMIME-Version: 1.0\r\n"
	multi := func(parts ...string) string {
		return head + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + strings.Join(parts, "\r\n--b\r\n") + "\r\n--b--\r\n"
	}
	const text = "Content-Type: text/plain\r\n\r\nThis is an aggregate report."
	part := func(contentType, name, data string) string {
		return "Content-Type: " + contentType + "\r\nContent-Disposition: attachment; filename=\"" + name + "\"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b64(data)
	}
	const name = "example.org!example.com!1!2.xml.gz"
	for _, tc := range []struct {
		name, msg string
		err       error
	}{
		{"multipart with gzip", multi(text, part("application/gzip", name, gz(t, good))), nil},
		{"multipart with zip", multi(text, part("application/zip", "x.zip", zipped(t, good, "x"))), nil},
		{"multipart with xml", multi(text, part("text/xml", "x.xml", good)), nil},
		{"octet-stream", multi(text, part("application/octet-stream", name, gz(t, good))), nil},
		{"octet-stream without a name", multi(text, part("application/octet-stream", "", zipped(t, good, "x"))), nil},
		{"wrong media type", multi(text, part("application/zip", name, gz(t, good))), nil},
		{"unknown media type", multi(text, part("application/x-dmarc", "x", good)), nil},
		{"no media type", head + "Content-Transfer-Encoding: base64\r\n\r\n" + b64(gz(t, good)), nil},
		{"single part", head + part("application/gzip", name, gz(t, good)), nil},
		{"single part, quoted-printable", head + "Content-Type: application/xml\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.ReplaceAll(good, "=", "=3D"), nil},
		{"single part, plain", head + "Content-Type: text/plain\r\n\r\n" + good, nil},
		{"forwarded", multi(text, "Content-Type: message/rfc822\r\n\r\n"+head+part("application/gzip", name, gz(t, good))), nil},
		{"after another attachment", multi(text, part("image/png", "logo.png", "\x89PNG"), part("text/xml", "x.xml", "<html/>"), part("application/gzip", name, gz(t, good))), nil},
		{"none", multi(text), report.ErrNoReport},
		{"html", head + "Content-Type: text/html\r\n\r\n<?xml version='1.0'?><html/>", report.ErrNoReport},
		{"only text", head + "\r\nhello", report.ErrNoReport},
		{"empty", "", report.ErrNoReport},
		{"the first error", multi(text, part("application/gzip", name, "x"), part("application/zip", "x.zip", "PK\x03\x04")), errAny},
		{"unknown encoding", head + "Content-Type: text/xml\r\nContent-Transfer-Encoding: rot13\r\n\r\nx", report.ErrNoReport},
		{"many parts", multi(strings.Split(strings.Repeat(part("application/gzip", "", "x")+"|", report.MaxParts+1)+part("application/gzip", "", gz(t, good)), "|")...), errAny},
	} {
		f, err := report.ParseMessage(strings.NewReader(tc.msg), int64(len(tc.msg)))
		switch {
		case tc.err == nil && (err != nil || f.Messages() != 1):
			t.Errorf("%s: got %v, %v", tc.name, f, err)
		case tc.err != nil && err == nil, tc.err != nil && tc.err != errAny && !errors.Is(err, tc.err):
			t.Errorf("%s: got %v, expected %v", tc.name, err, tc.err)
		}
	}
	if _, err := report.ParseMessage(strings.NewReader(""), report.MaxMessage+1); !errors.Is(err, report.ErrTooLarge) {
		t.Errorf("large message: %v", err)
	}
	if _, err := report.ParseMessage(broken{}, 1000); !errors.Is(err, errAny) {
		t.Errorf("broken reader: %v", err)
	}
}

type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, fmt.Errorf("reading: %w", errAny) }

func FuzzParseMessage(f *testing.F) {
	const head = "Subject: x\r\nMIME-Version: 1.0\r\n"
	f.Add(head + "Content-Type: text/xml\r\n\r\n" + minimal())
	f.Add(head + "Content-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64Lines(gz(f, minimal())))
	f.Add(head + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\nContent-Type: application/zip\r\nContent-Transfer-Encoding: binary\r\n\r\n" + zipped(f, minimal(), "x") + "\r\n--b--\r\n")
	f.Fuzz(func(t *testing.T, msg string) {
		fb, err := report.ParseMessage(strings.NewReader(msg), int64(len(msg)))
		if err == nil && len(fb.Records) == 0 {
			t.Fatal("no records")
		}
	})
}
