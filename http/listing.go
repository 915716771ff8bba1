package http

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// listingPage is the list of the files of a directory.
var listingPage = template.Must(template.New("listing").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{ .Path }}</title>
<style>
body { font-family: sans-serif; max-width: 60em; margin: 1em auto; padding: 0 1em; }
td, th { text-align: left; padding: 0.1em 1em 0.1em 0; }
.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
</style>
</head>
<body>
<h1>{{ .Path }}</h1>
<table>
<tr><th class="n">Size (MB)</th><th>Modified (UTC)</th><th>Name</th></tr>
{{- if .Parent }}
<tr><td></td><td></td><td><a href="..">..</a></td></tr>
{{- end }}
{{- range .Files }}
<tr><td class="n">{{ .Size }}</td><td class="n">{{ .Modified }}</td><td><a href="./{{ .Name }}">{{ .Name }}</a></td></tr>
{{- end }}
</table>
{{- if .More }}
<p>There are more files.</p>
{{- end }}
</body>
</html>
`))

type listedFile struct {
	Name, Size, Modified string
}

// listing returns a page that lists the files of a directory, as a path on the server.
func listing(dir *os.File, path string) ([]byte, error) {
	page := struct {
		Path         string
		Parent, More bool
		Files        []listedFile
	}{Path: path, Parent: path != "/"}
	entries, err := dir.ReadDir(maxListing + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(entries) > maxListing {
		entries, page.More = entries[:maxListing], true
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		f := listedFile{Name: e.Name()}
		info, err := e.Info()
		if err != nil {
			continue // It has just been removed.
		}
		f.Modified = info.ModTime().UTC().Format(time.DateTime)
		if e.IsDir() {
			f.Name += "/"
		} else {
			f.Size = megabytes(info.Size())
		}
		page.Files = append(page.Files, f)
	}
	var b bytes.Buffer
	err = listingPage.Execute(&b, page)
	return b.Bytes(), err
}

// megabytes returns a size, with two decimals if it is small.
func megabytes(n int64) string {
	const mb = 1 << 20
	if n < 10*mb {
		return strings.TrimSpace(fmt.Sprintf("%.2f", float64(n)/mb))
	}
	return fmt.Sprint(n / mb)
}
