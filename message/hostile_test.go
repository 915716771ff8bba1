package message

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
)

// maxHostileAlloc is how much may be allocated in total while a hostile message is
// read, whatever its size. It bounds the work on its structure, too: work that is not
// linear allocates, or shows in the time of the benchmarks beside it.
const maxHostileAlloc = 64 << 20

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// repeatReaderAt is a message of a head and a long repetition, so that its bytes need
// no memory.
type repeatReaderAt struct {
	head string
	unit string
	size int64
}

func (r repeatReaderAt) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) && off < r.size {
		var c int
		if off < int64(len(r.head)) {
			c = copy(p[n:], r.head[off:])
		} else {
			c = copy(p[n:min(int64(len(p)), int64(n)+r.size-off)], r.unit[(off-int64(len(r.head)))%int64(len(r.unit)):])
		}
		n += c
		off += int64(c)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

type hostileCase struct {
	name string
	r    io.ReaderAt
	size int64
	want string // Beginning of the outline.
}

func hostileCases() []hostileCase {
	var nested, alternating, sameHeader strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&nested, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
		fmt.Fprintf(&alternating, "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n")
		fmt.Fprintf(&sameHeader, "Content-Type: multipart/mixed; boundary=%s%d\r\n", strings.Repeat("b", 60), i)
	}
	deepBoundaries := ""
	for i := range MaxDepth {
		deepBoundaries += fmt.Sprintf("Content-Type: multipart/mixed; boundary=%s%03d\r\n\r\n--%s%03d\r\n", strings.Repeat("b", 60), i, strings.Repeat("b", 60), i)
	}
	of := func(name, s, want string) hostileCase {
		return hostileCase{name, strings.NewReader(s), int64(len(s)), want}
	}
	long := func(name, head, unit, want string) hostileCase {
		const size = 50 << 20
		return hostileCase{name, repeatReaderAt{head, strings.Repeat(unit, 1+4096/len(unit)), size}, size, want}
	}
	const mixed = "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	return []hostileCase{
		of("10,000 nested multiparts", nested.String(), "MULTIPART/MIXED(MULTIPART/MIXED(MULTIPART"),
		of("10,000 nested multiparts with one boundary", alternating.String(), "MULTIPART/MIXED(MULTIPART/MIXED(MULTIPART"),
		of("10,000 content types in one header", sameHeader.String(), "MULTIPART/MIXED(TEXT/PLAIN)"),
		of("5,000 nested messages", strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 5000), "MESSAGE/RFC822[MESSAGE/RFC822["),
		of("100,000 parts", mixed+strings.Repeat("--b\r\n\r\nx\r\n", 100_000), "MULTIPART/MIXED(TEXT/PLAIN TEXT/PLAIN"),
		of("100,000 empty parts", mixed+strings.Repeat("--b\r\n", 100_000), "MULTIPART/MIXED(TEXT/PLAIN TEXT/PLAIN"),
		of("100,000 nested messages in parts", mixed+strings.Repeat("--b\r\nContent-Type: message/rfc822\r\n\r\nTo: a@b\r\n\r\nx\r\n", 100_000), "MULTIPART/MIXED(MESSAGE/RFC822["),
		of("100,000 folded lines", "Subject: x\r\n"+strings.Repeat(" y\r\n", 100_000)+"\r\nbody", "TEXT/PLAIN"),
		of("100,000 header fields", strings.Repeat("A: b\r\n", 100_000)+"\r\nbody", "TEXT/PLAIN"),
		of("100,000 addresses", "To: "+strings.Repeat("a@b, ", 100_000)+"\r\n\r\n", "TEXT/PLAIN"),
		of("100,000 addresses without commas", "To: "+strings.Repeat("a@b ", 100_000)+"\r\n\r\n", "TEXT/PLAIN"),
		of("100,000 open comments and quotes", "To: "+strings.Repeat("((\"\\", 100_000)+"\r\n\r\n", "TEXT/PLAIN"),
		of("100,000 escaped quotes", "To: "+strings.Repeat(`"\`, 100_000)+"\r\nContent-Type: a/b; x="+strings.Repeat(`"\`, 100_000)+"\r\n\r\n", "A/B"),
		of("100,000 parameters", "Content-Type: text/plain"+strings.Repeat("; a=\"", 100_000)+"\r\n\r\n", "TEXT/PLAIN"),
		of("100,000 beginnings of encoded words", "Subject: "+strings.Repeat("=?a?q?", 100_000)+"\r\n\r\n", "TEXT/PLAIN"),
		of("100,000 blobs in the subject", "Subject: "+strings.Repeat("[a]", 100_000)+" re: [\r\n\r\n", "TEXT/PLAIN"),
		of("100,000 forwards in the subject", "Subject: "+strings.Repeat("[fwd: re: ", 50_000)+strings.Repeat("]", 50_000)+"\r\n\r\n", "TEXT/PLAIN"),
		of("100,000 references", "References: "+strings.Repeat("<a@b> ", 100_000)+"\r\n\r\n", "TEXT/PLAIN"),
		of("100 boundaries and lines like them", deepBoundaries+strings.Repeat("--"+strings.Repeat("b", 62)+"\r\n", 20_000), "MULTIPART/MIXED(MULTIPART/MIXED("),
		of("HTML of open tags", "Content-Type: text/html\r\n\r\n"+strings.Repeat("<a b='", 200_000), "TEXT/HTML"),
		of("HTML of nested elements", "Content-Type: text/html\r\n\r\n"+strings.Repeat("<blockquote><pre><svg>", 100_000), "TEXT/HTML"),
		of("NULs", strings.Repeat("\x00", 1<<20), "TEXT/PLAIN"),
		of("NULs in a header", "Subject: "+strings.Repeat("\x00", 1<<19)+"\r\nTo: \x00a@\x00b\r\n\r\n\x00", "TEXT/PLAIN"),
		long("a line of 50 MB", "Subject: x\r\n\r\n", "x", "TEXT/PLAIN"),
		long("a header line of 50 MB", "Subject: ", "x", "TEXT/PLAIN"),
		long("a header of 50 MB", "", "Received: from a by b\r\n", "TEXT/PLAIN"),
		long("a line of 50 MB in quoted-printable", "Content-Transfer-Encoding: quoted-printable\r\n\r\n", " ", "TEXT/PLAIN"),
		long("50 MB of base64 without a line end", "Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n", "YQ==", "A/B"),
		long("50 MB of lines with dashes", mixed+"--b\r\n\r\n", "--\n", "MULTIPART/MIXED(TEXT/PLAIN)"),
		long("50 MB of lines that begin like the boundary", mixed+"--b\r\n\r\n", "--b-\n--bb\n", "MULTIPART/MIXED(TEXT/PLAIN"),
		long("50 MB of boundaries", mixed, "--b\n", "MULTIPART/MIXED(TEXT/PLAIN"),
		long("50 MB of line ends", mixed, "\n", "MULTIPART/MIXED(TEXT/PLAIN)"),
	}
}

func TestHostileMessagesCostNoMoreThanTheirBytes(t *testing.T) {
	for _, c := range hostileCases() {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() && c.size > 10<<20 {
				t.Skip("50 MB, not in a short test")
			}
			var d Digest
			var err error
			n := allocated(func() { d, err = NewDigest(c.r, c.size, Limits{}) })
			if err != nil {
				t.Fatal(err)
			}
			if n > maxHostileAlloc {
				t.Errorf("allocated %d bytes", n)
			}
			if err := d.Valid(); err != nil {
				t.Errorf("digest: %v", err)
			}
			if len(d) > 2<<20 {
				t.Errorf("digest of %d bytes", len(d))
			}
			root, err := d.Tree()
			if err != nil {
				t.Fatal(err)
			}
			if s := outline(root); !strings.HasPrefix(s, c.want) {
				t.Errorf("structure %.100s, want %s", s, c.want)
			}
			if err := checkEnvelope(string(d.Envelope())); err != nil {
				t.Error(err)
			}
			if err := checkBody(string(d.BodyStructure()), true); err != nil {
				t.Error(err)
			}
			parts := 0
			for p := range root.Walk() {
				parts++
				if p.BodyEnd > c.size {
					t.Errorf("part ends at %d of %d", p.BodyEnd, c.size)
				}
			}
			if parts > maxTreeParts {
				t.Errorf("%d parts", parts)
			}
			// All text must be readable with memory that does not grow with it.
			n = allocated(func() {
				for p := range root.Walk() {
					if p.Type == "TEXT" && p.Size() < 10<<20 {
						if _, err := io.Copy(io.Discard, p.TextReader(c.r)); err != nil {
							t.Errorf("text: %v", err)
						}
					}
				}
			})
			if n > 2*maxHostileAlloc {
				t.Errorf("allocated %d bytes for its text", n)
			}
		})
	}
}

func TestRestBeyondTheLimitOnParts(t *testing.T) {
	t.Parallel()
	inner := "Content-Type: multipart/mixed; boundary=i\r\n\r\n" + strings.Repeat("--i\r\n\r\nx\r\n", 20) + "--i--\r\n"
	msg := "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n" + inner + "--o\r\n\r\nafter\r\n--o\r\n\r\nlast\r\n--o--\r\nepilogue"
	p := mustParse(t, msg, Limits{Parts: 10})
	checkTree(t, msg, p)
	if len(p.Parts) != 2 || len(p.Parts[0].Parts) != 9 {
		t.Fatalf("structure %s", outline(p))
	}
	rest := p.Parts[0].Parts[8]
	if outline(rest) != "APPLICATION/OCTET-STREAM" || strings.Count(body(msg, rest), "--i\r\n") != 11 || rest.Flags&PartCut == 0 {
		t.Errorf("rest %s %q", outline(rest), body(msg, rest))
	}
	if s := body(msg, p.Parts[1]); s != "\r\nafter\r\n--o\r\n\r\nlast" {
		t.Errorf("rest of the outer multipart %q", s)
	}
}

func TestLimitOnDepthMakesALeaf(t *testing.T) {
	t.Parallel()
	msg := "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" +
		"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n--b--\r\n--a\r\n\r\nafter\r\n--a--\r\n"
	for depth, want := range map[int]string{
		2: "MULTIPART/MIXED(MULTIPART/MIXED TEXT/PLAIN)",
		3: "MULTIPART/MIXED(MULTIPART/MIXED(MESSAGE/RFC822) TEXT/PLAIN)",
		4: "MULTIPART/MIXED(MULTIPART/MIXED(MESSAGE/RFC822[TEXT/PLAIN]) TEXT/PLAIN)",
	} {
		p := mustParse(t, msg, Limits{Depth: depth})
		checkTree(t, msg, p)
		if outline(p) != want {
			t.Errorf("depth %d: %s, want %s", depth, outline(p), want)
		}
		if s := string(AppendBodyStructure(nil, p)); depth == 2 && !strings.Contains(s, `"APPLICATION" "OCTET-STREAM"`) {
			t.Errorf("a multipart that is a leaf: %s", s)
		}
	}
}

func TestMetadataIsBounded(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	b.WriteString("Content-Type: multipart/mixed; boundary=b\r\n\r\n")
	for i := range 400 {
		fmt.Fprintf(&b, "--b\r\nContent-Type: message/rfc822; name=\"%s\"\r\nContent-Description: %[1]s\r\n\r\nSubject: %[1]s\r\nTo: %d@x\r\n\r\n", strings.Repeat("n", 10_000), i)
	}
	msg := b.String()
	d := mustDigest(t, msg)
	if len(d) > 2*MaxMetadata+400*300 {
		t.Errorf("digest of %d bytes", len(d))
	}
	root := mustParse(t, msg, Limits{})
	checkTree(t, msg, root)
	if len(root.Parts) != 400 || root.Parts[399].Message == nil {
		t.Errorf("%d parts", len(root.Parts))
	}
}
