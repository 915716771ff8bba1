package arc

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os/exec"
	"strings"
	"testing"

	"mox/dkim"
	"mox/internal/testkit"
)

// dkimpy verifies or seals messages, which it reads as JSON and answers with a line
// each.
const dkimpy = `
import sys, json, base64, dkim
data = json.load(sys.stdin)
def dnsfunc(name, timeout=5):
    txt = data["txt"].get(name.decode())
    return txt.encode() if txt is not None else None
out = []
for job in data["jobs"]:
    msg = base64.b64decode(job["msg"])
    if job["op"] == "verify":
        cv, results, reason = dkim.arc_verify(msg, dnsfunc=dnsfunc)
        out.append(cv.decode() + " " + str(reason))
    else:
        fields = dkim.arc_sign(msg, b"rsa", job["domain"].encode(), base64.b64decode(data["key"]), job["domain"].encode())
        out.append(b"".join(fields).decode())
json.dump(out, sys.stdout)
`

type dkimpyJob struct {
	Op     string `json:"op"`
	Msg    []byte `json:"msg"`
	Domain string `json:"domain"`
}

// runDkimpy runs jobs with Debian's dkimpy and returns their results.
func runDkimpy(t *testing.T, jobs ...dkimpyJob) []string {
	t.Helper()
	python := testkit.Python(t, "dkim", "nacl", "authres")
	key := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaSelector().Key.(*rsa.PrivateKey))})
	in, err := json.Marshal(map[string]any{"txt": zone(t).txt, "key": key, "jobs": jobs})
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

func TestDkimpyVerifiesOurChains(t *testing.T) {
	t.Parallel()
	var jobs []dkimpyJob
	var wants []string
	add := func(msg, want string) {
		jobs = append(jobs, dkimpyJob{Op: "verify", Msg: []byte(msg)})
		wants = append(wants, want)
	}
	for _, n := range []int{1, 2, 4} {
		msg := unsealed
		for range n {
			// Dkimpy does chains with RSA only.
			msg = seal(t, msg, rsaSelector(), verify(t, msg)) + msg
		}
		add(msg, "pass ")
		add(msg+"added\r\n", "fail ")
		add(strings.Replace(msg, "spf=pass", "spf=fail", 1), "fail ")
	}
	for _, h := range []dkim.Canonicalization{dkim.Simple, dkim.Relaxed} {
		for _, b := range []dkim.Canonicalization{dkim.Simple, dkim.Relaxed} {
			sel := rsaSelector()
			sel.HeaderCanon, sel.BodyCanon = h, b
			msg := unsealed + "more  \t text \r\n\r\n"
			msg = seal(t, msg, sel, verify(t, msg)) + msg
			add(msg, "pass ")
		}
	}
	for i, got := range runDkimpy(t, jobs...) {
		if !strings.HasPrefix(got, wants[i]) {
			t.Errorf("%d: got %s, expected %s:\n%s", i, got, wants[i], jobs[i].Msg)
		}
	}
}

// sealByDkimpy lets dkimpy add a set, which takes the results of the field in front.
func sealByDkimpy(t *testing.T, msg string, instance int, cv Status) string {
	t.Helper()
	d := domainOf(instance).ASCII
	msg = "Authentication-Results: " + d + "; arc=" + string(cv) + "; spf=pass smtp.mailfrom=a@example.org\r\n" + msg
	return runDkimpy(t, dkimpyJob{Op: "seal", Msg: []byte(msg), Domain: d})[0] + msg
}

func TestChainsOfDkimpyVerifyAlsoMixedWithOurs(t *testing.T) {
	t.Parallel()
	msg := unsealed
	for i := 1; i <= 4; i++ {
		r := verify(t, msg)
		if i%2 == 1 {
			msg = sealByDkimpy(t, msg, i, r.Status)
		} else {
			msg = seal(t, msg, rsaSelector(), r) + msg
		}
		r = verify(t, msg)
		if r.Status != StatusPass || len(r.Sets) != i || r.OldestPass != 0 {
			t.Fatalf("after %d sets: got %+v:\n%s", i, r, msg)
		}
		if s := r.Sets[i-1]; s.AuthResultsErr != nil || s.AuthResults.AuthservID != domainOf(i).ASCII || s.Domain() != domainOf(i) {
			t.Errorf("set %d: got %+v", i, s)
		}
	}
	if got := runDkimpy(t, dkimpyJob{Op: "verify", Msg: []byte(msg)})[0]; !strings.HasPrefix(got, "pass ") {
		t.Errorf("dkimpy: got %s", got)
	}
}
