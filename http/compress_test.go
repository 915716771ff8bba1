package http

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"mox/config"
)

// gunzip returns what a compressed response was.
func gunzip(t *testing.T, data string) string {
	t.Helper()
	r, err := gzip.NewReader(strings.NewReader(data))
	if err != nil {
		t.Fatalf("%v: %.40q", err, data)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestFilesAreCompressedForClientsThatCanTakeIt(t *testing.T) {
	t.Parallel()
	s, _ := staticSite(t, func(h *config.WebHandlerFields) { h.Compress = true })
	const url = "https://site.example/large.css"
	plain := s.get(url)
	a := s.get(url, "Accept-Encoding: br, gzip")
	if a.Header.Get("Content-Encoding") != "gzip" || a.ContentLength >= 0 && a.ContentLength != int64(len(a.body)) || len(a.body) > len(plain.body)/5 || gunzip(t, a.body) != plain.body {
		t.Fatalf("got %v, %d octets", a.Header, len(a.body))
	}
	tag := a.Header.Get("ETag")
	if tag != "W/"+plain.Header.Get("ETag") || a.Header.Get("Accept-Ranges") != "" || a.Header.Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("got %v", a.Header)
	}
	if plain.Header.Get("Vary") != "Accept-Encoding" || a.Header.Get("Vary") != "Accept-Encoding" || plain.Header.Get("Content-Encoding") != "" {
		t.Errorf("got %v", plain.Header)
	}
	if a := s.get(url, "Accept-Encoding: gzip", "If-None-Match: "+tag); a.StatusCode != 304 || a.Header.Get("Vary") == "" || a.Header.Get("Content-Encoding") != "" {
		t.Errorf("got %s, %v", a.Status, a.Header)
	}
	if a := s.get(url, "Accept-Encoding: gzip", "Range: bytes=5-9"); a.StatusCode != 206 || a.body != plain.body[5:10] || a.Header.Get("Content-Encoding") != "" {
		t.Errorf("got %s, %v", a.Status, a.Header)
	}
	if a := s.get(url, "Accept-Encoding: gzip", "Range: bytes=5-9", "If-Range: "+tag); a.StatusCode != 200 || a.body != plain.body {
		t.Errorf("part of what is compressed: got %s, %v", a.Status, a.Header)
	}
	if a := s.do("HEAD", url, "", "Accept-Encoding: gzip"); a.StatusCode != 200 || a.Header.Get("Vary") == "" || a.Header.Get("Content-Encoding") != "" {
		t.Errorf("got %v", a.Header)
	}
	if a := s.get("https://site.example/a.txt", "Accept-Encoding: gzip"); a.body != "0123456789" || a.Header.Get("Content-Encoding") != "" {
		t.Errorf("small file: got %v", a.Header)
	}
	if a := s.get("https://site.example/gone", "Accept-Encoding: gzip"); a.StatusCode != 404 || a.Header.Get("Content-Encoding") != "" {
		t.Errorf("got %s, %v", a.Status, a.Header)
	}
}

func TestOnlyWhatIsWorthItIsCompressed(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("text ", 1000)
	for name, tc := range map[string]struct {
		header  map[string]string
		code    int
		gzip    bool
		vary    string
		etag    string
		unknown bool // The size.
	}{
		"html":             {map[string]string{"Content-Type": "text/html"}, 200, true, "Accept-Encoding", "", false},
		"json":             {map[string]string{"Content-Type": "application/problem+json", "Etag": `"a"`}, 200, true, "Accept-Encoding", `W/"a"`, false},
		"weak etag":        {map[string]string{"Content-Type": "text/html", "Etag": `W/"a"`}, 200, true, "Accept-Encoding", `W/"a"`, false},
		"size not known":   {map[string]string{"Content-Type": "application/json; charset=utf-8"}, 200, true, "Accept-Encoding", "", true},
		"type not known":   {nil, 200, true, "Accept-Encoding", "", false},
		"vary is there":    {map[string]string{"Vary": "Cookie"}, 200, true, "Cookie,Accept-Encoding", "", false},
		"image":            {map[string]string{"Content-Type": "image/png", "Etag": `"a"`}, 200, false, "", `"a"`, false},
		"compressed":       {map[string]string{"Content-Type": "text/html", "Content-Encoding": "br"}, 200, false, "", "", false},
		"not to be":        {map[string]string{"Content-Type": "text/html", "Cache-Control": "max-age=1, No-Transform"}, 200, false, "", "", false},
		"events":           {map[string]string{"Content-Type": "text/event-stream"}, 200, false, "", "", false},
		"error":            {map[string]string{"Content-Type": "text/html"}, 500, false, "", "", false},
		"part":             {map[string]string{"Content-Type": "text/html"}, 206, false, "", "", false},
		"other compressed": {map[string]string{"Content-Encoding": "gzip"}, 200, false, "", "", false},
	} {
		s := forwardSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for k, v := range tc.header {
				w.Header().Set(k, v)
			}
			if !tc.unknown {
				w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			}
			w.WriteHeader(tc.code)
			if tc.unknown {
				_ = http.NewResponseController(w).Flush()
			}
			_, _ = io.WriteString(w, text)
		}), func(h *config.WebHandlerFields) { h.Compress = true })
		a := s.get("https://site.example/app/", "Accept-Encoding: gzip")
		body := a.body
		if tc.gzip {
			if a.Header.Get("Content-Encoding") != "gzip" {
				t.Errorf("%s: got %v", name, a.Header)
				continue
			}
			body = gunzip(t, body)
		} else if a.Header.Get("Content-Encoding") != tc.header["Content-Encoding"] || a.ContentLength != int64(len(text)) {
			t.Errorf("%s: got %v", name, a.Header)
		}
		if a.StatusCode != tc.code || body != text || strings.Join(a.Header["Vary"], ",") != tc.vary || a.Header.Get("ETag") != tc.etag {
			t.Errorf("%s: got %s, %v, %.40q", name, a.Status, a.Header, body)
		}
	}
}

func TestAcceptEncodingIsUnderstood(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{
		"":                        false,
		"gzip":                    true,
		"GZIP":                    true,
		"x-gzip":                  true,
		"deflate, gzip;q=1.0, *":  true,
		"deflate ,\tgzip ; q=0.5": true,
		"gzip;q=0":                false,
		"gzip;q=0.000":            false,
		"gzip;q=0, *":             false,
		"*;q=0, gzip":             true,
		"*":                       true,
		"*;q=0":                   false,
		"identity":                false,
		"br, zstd":                false,
		"gzip;q=x":                false,
		"gzip;q=NaN":              false,
		"gzip;q=-1":               false,
		"notgzip":                 false,
		"identity;q=1, *;q=0.001": true,
	} {
		if got := acceptsGzip([]string{value}); got != want {
			t.Errorf("%q: got %v", value, got)
		}
	}
	if !acceptsGzip([]string{"br", "gzip"}) || acceptsGzip(nil) {
		t.Error("several header fields are one list")
	}
}
