package dkim

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mox/internal/testkit"
)

// Messages with what canonicalisations are about. In none of them does more than one
// space follow a colon: opendkim gets header fields as a milter does, without it, so
// that it cannot verify simple then.
var interopMessages = map[string]string{
	"plain":   "From: a@example.org\r\nTo: b@example.org\r\nSubject: hello\r\n\r\ntext\r\n",
	"spaces":  "From: A  B\t<a@example.org>\r\nTo: b@example.org,\r\n\tc@example.org\r\nSUBJECT: a \t b \r\nX: y\r\n\r\n body \t text \r\n\r\n \r\nend\t\r\n\r\n\r\n",
	"empty":   "From: a@example.org\r\nSubject: empty\r\n\r\n",
	"repeats": "From: a@example.org\r\nTo: b@example.org\r\nTo: c@example.org\r\nSubject: s\r\nCc: d@example.org\r\nTo: e@example.org\r\n\r\nx\r\n",
	"long":    "From: a@example.org\r\nSubject: " + strings.Repeat("word ", 150) + "\r\n\r\n" + strings.Repeat(strings.Repeat("text ", 30)+"\r\n", 500),
	"utf-8":   "From: \"J\u00fcrgen\" <a@example.org>\r\nSubject: \u263a\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\u263a \u00fc\r\n",
}

// interopKeys returns selectors with an RSA key of 2048 bits and an Ed25519 key.
func interopKeys(t *testing.T) (rsaSel, edSel Selector) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return mustSelector(t, "rsa", key), mustSelector(t, "ed", ed25519Key(t))
}

// An interopCase is a message with one way to sign it.
type interopCase struct {
	name, msg string
	sel       Selector
}

func interopCases(t *testing.T, sels ...Selector) []interopCase {
	var l []interopCase
	for name, msg := range interopMessages {
		for _, sel := range sels {
			for _, h := range []Canonicalization{Simple, Relaxed} {
				for _, b := range []Canonicalization{Simple, Relaxed} {
					sel.HeaderCanon, sel.BodyCanon = h, b
					l = append(l, interopCase{fmt.Sprintf("%s %s %s/%s", name, sel.Name, h, b), msg, sel})
				}
			}
		}
	}
	return l
}

func TestOpenDKIMVerifiesOurSignatures(t *testing.T) {
	t.Parallel()
	opendkim := testkit.Tool(t, "opendkim")
	rsaSel, edSel := interopKeys(t)
	files := map[string]string{}
	names := map[string]string{}
	var list []string
	for i, tc := range interopCases(t, rsaSel, edSel) {
		file := fmt.Sprintf("%d.eml", i)
		files[file] = sign(t, tc.msg, []Selector{tc.sel}, SignOptions{}) + tc.msg
		// One that is changed must fail, or the others mean nothing.
		files["changed"+file] = strings.Replace(files[file], "\r\n\r\n", "\r\n\r\nadded\r\n", 1)
		names[file] = tc.name
		list = append(list, file, "changed"+file)
	}
	var records []string
	for name, txt := range withKeys(t, "example.org", rsaSel, edSel).txt {
		records = append(records, strings.TrimSuffix(name, ".")+" "+txt[0])
	}
	files["keys"] = strings.Join(records, "\n") + "\n"
	files["conf"] = "Mode v\nTestDNSData file:keys\nSyslog no\n"
	dir := testkit.Dir(t, files)
	cmd := exec.CommandContext(t.Context(), opendkim, "-x", "conf", "-t", strings.Join(list, ","), "-v")
	cmd.Dir = dir
	out, err := cmd.Output() // Standard error has what its milter functions return.
	if err != nil {
		t.Fatalf("opendkim: %v: %s", err, out)
	}
	for file, name := range names {
		if !verified(out, file) {
			t.Errorf("%s: not verified: %s", name, linesOf(out, file))
		}
		if verified(out, "changed"+file) {
			t.Errorf("%s: verified after a change", name)
		}
	}
}

// verified says whether opendkim has written that a signature in a file is good.
func verified(out []byte, file string) bool {
	return strings.Contains(linesOf(out, file), "succeeded")
}

func linesOf(out []byte, file string) string {
	var l []string
	for line := range strings.SplitSeq(string(out), "\n") {
		if strings.HasPrefix(line, "opendkim: "+file+":") {
			l = append(l, line)
		}
	}
	return strings.Join(l, "\n")
}

func TestSignaturesOfOpenDKIMVerify(t *testing.T) {
	t.Parallel()
	opendkim := testkit.Tool(t, "opendkim")
	rsaSel, edSel := interopKeys(t)
	z := withKeys(t, "example.org", rsaSel, edSel)
	names := []string{}
	files := map[string]string{}
	for name, msg := range interopMessages {
		names = append(names, name+".eml")
		files[name+".eml"] = msg
	}
	for _, sel := range []Selector{rsaSel, edSel} {
		pem, err := FormatPrivateKey(sel.Key)
		if err != nil {
			t.Fatal(err)
		}
		files[sel.Name.ASCII+".pem"] = string(pem)
		alg, err := AlgorithmOf(sel.Key)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []string{"simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed"} {
			if alg == Ed25519SHA256 && strings.HasPrefix(c, "simple/") {
				// What opendkim 2.11.0 makes then, neither itself nor dkimpy verifies.
				continue
			}
			conf := "conf-" + sel.Name.ASCII + "-" + strings.ReplaceAll(c, "/", "-")
			files[conf] = fmt.Sprintf("Mode s\nDomain example.org\nSelector %s\nKeyFile %[1]s.pem\nSignatureAlgorithm %s\nCanonicalization %s\nOversignHeaders From\nSyslog no\nRequireSafeKeys no\n", sel.Name.ASCII, alg, c)
		}
	}
	dir := testkit.Dir(t, files)
	for conf := range files {
		if !strings.HasPrefix(conf, "conf-") {
			continue
		}
		cmd := exec.CommandContext(t.Context(), opendkim, "-x", conf, "-t", strings.Join(names, ","))
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: opendkim: %v: %s", conf, err, out)
		}
		for _, name := range names {
			_, field, ok := strings.Cut(string(out), "opendkim: "+name+":\n")
			field, _, _ = strings.Cut(field, "\nopendkim: ")
			if !ok {
				t.Errorf("%s: no signature of %s in %s", conf, name, out)
				continue
			}
			l := verifyText(t, z, strings.TrimRight(field, "\n")+"\r\n"+files[name], VerifyOptions{})
			if got := statuses(l); got != "pass" {
				t.Errorf("%s: %s: got %s: %s", conf, name, got, errorsOf(l))
			}
		}
	}
}

// dkimpy runs jobs, which it reads as JSON and answers with a line each.
const dkimpy = `
import sys, json, base64, dkim
data = json.load(sys.stdin)
def dnsfunc(name, timeout=5):
    txt = data["txt"].get(name.decode())
    return txt.encode() if txt is not None else None
out = []
for job in data["jobs"]:
    msg = base64.b64decode(job["msg"])
    try:
        if job["op"] == "verify":
            d = dkim.DKIM(msg)
            out.append(",".join(str(d.verify(idx=i, dnsfunc=dnsfunc)) for i in range(job["n"])))
        else:
            sig = dkim.sign(msg, job["selector"].encode(), b"example.org", base64.b64decode(job["key"]),
                canonicalize=(job["header"].encode(), job["body"].encode()), signature_algorithm=job["algorithm"].encode(), length=job["length"])
            out.append(sig.decode())
    except Exception as e:
        out.append("error: " + repr(e))
json.dump(out, sys.stdout)
`

type dkimpyJob struct {
	Op        string `json:"op"`
	Msg       []byte `json:"msg"`
	N         int    `json:"n"`
	Selector  string `json:"selector"`
	Key       []byte `json:"key"`
	Header    string `json:"header"`
	Body      string `json:"body"`
	Algorithm string `json:"algorithm"`
	Length    bool   `json:"length"`
}

// runDkimpy runs jobs with Debian's dkimpy and returns their results.
func runDkimpy(t *testing.T, z *txtResolver, jobs []dkimpyJob) []string {
	t.Helper()
	python := testkit.Python(t, "dkim", "nacl")
	txt := map[string]string{}
	for name, l := range z.txt {
		txt[name] = l[0]
	}
	in, err := json.Marshal(map[string]any{"txt": txt, "jobs": jobs})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", dkimpy)
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("dkimpy: %v: %s", err, stderr.String())
	}
	var results []string
	if err := json.Unmarshal(out, &results); err != nil || len(results) != len(jobs) {
		t.Fatalf("dkimpy: %v: %s", err, out)
	}
	return results
}

func TestDkimpyVerifiesOurSignatures(t *testing.T) {
	t.Parallel()
	rsaSel, edSel := interopKeys(t)
	cases := interopCases(t, rsaSel, edSel)
	var jobs []dkimpyJob
	for _, tc := range cases {
		signed := sign(t, tc.msg, []Selector{tc.sel}, SignOptions{}) + tc.msg
		jobs = append(jobs, dkimpyJob{Op: "verify", N: 1, Msg: []byte(signed)},
			dkimpyJob{Op: "verify", N: 1, Msg: []byte(strings.Replace(signed, "\r\nSubject: ", "\r\nSubject: x", 1) + "added\r\n")})
	}
	both := sign(t, joe, []Selector{rsaSel, edSel}, SignOptions{Identity: &Identity{nil, mustDomain(t, "a.example.org")}}) + joe
	jobs = append(jobs, dkimpyJob{Op: "verify", N: 2, Msg: []byte(both)})
	results := runDkimpy(t, withKeys(t, "example.org", rsaSel, edSel), jobs)
	for i, tc := range cases {
		if results[2*i] != "True" {
			t.Errorf("%s: got %s", tc.name, results[2*i])
		}
		if r := results[2*i+1]; r == "True" {
			t.Errorf("%s: after a change: got %s", tc.name, r)
		}
	}
	if got := results[len(results)-1]; got != "True,True" {
		t.Errorf("two signatures: got %s", got)
	}
}

func TestSignaturesOfDkimpyVerify(t *testing.T) {
	t.Parallel()
	rsaSel, edSel := interopKeys(t)
	cases := interopCases(t, rsaSel, edSel)
	var jobs []dkimpyJob
	for _, length := range []bool{false, true} {
		for _, tc := range cases {
			alg, err := AlgorithmOf(tc.sel.Key)
			if err != nil {
				t.Fatal(err)
			}
			key := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaSel.Key.(*rsa.PrivateKey))})
			if alg == Ed25519SHA256 {
				key = []byte(base64.StdEncoding.EncodeToString(ed25519Key(t).Seed()))
			}
			jobs = append(jobs, dkimpyJob{
				Op: "sign", Msg: []byte(tc.msg), Selector: tc.sel.Name.ASCII, Key: key,
				Header: string(tc.sel.HeaderCanon), Body: string(tc.sel.BodyCanon), Algorithm: alg.String(), Length: length,
			})
		}
	}
	z := withKeys(t, "example.org", rsaSel, edSel)
	for i, field := range runDkimpy(t, z, jobs) {
		tc, length := cases[i%len(cases)], i >= len(cases)
		if !strings.HasPrefix(field, "DKIM-Signature:") {
			t.Errorf("%s: %s", tc.name, field)
			continue
		}
		l := verifyText(t, z, field+tc.msg, VerifyOptions{AllowLength: true})
		if got := statuses(l); got != "pass" || (l[0].Signature.Length >= 0) != length {
			t.Errorf("%s, length %v: got %s: %s", tc.name, length, got, errorsOf(l))
		}
	}
}

// The commands that come with opendkim make keys and records too.
func TestKeysOfOpenDKIMAreRead(t *testing.T) {
	t.Parallel()
	genkey := testkit.Tool(t, "opendkim-genkey")
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), genkey, "-D", dir, "-s", "sel", "-d", "example.org", "-b", "2048")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("opendkim-genkey: %v: %s", err, out)
	}
	key, err := ParsePrivateKey(testkit.ReadFile(t, filepath.Join(dir, "sel.private")))
	if err != nil {
		t.Fatal(err)
	}
	zone := string(testkit.ReadFile(t, filepath.Join(dir, "sel.txt")))
	var txt string
	for i, s := range strings.Split(zone, `"`) {
		if i%2 == 1 {
			txt += s
		}
	}
	r, _, err := ParseRecord(txt)
	if err != nil || r.Bits() != 2048 || !r.PublicKey.(*rsa.PublicKey).Equal(key.Public()) {
		t.Errorf("%s: got %v, %v", zone, r, err)
	}
}
