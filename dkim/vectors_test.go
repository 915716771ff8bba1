package dkim

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"mox/internal/testkit"
)

// vector returns a file of the shared DKIM samples, which are those of dkimpy, with
// CRLF.
func vector(t *testing.T, name string) string {
	t.Helper()
	return crlf(string(testkit.ReadFile(t, filepath.Join(testkit.Shared(t, "testdata/auth/dkim"), name))))
}

func vectorRecord(t *testing.T, name string) string {
	t.Helper()
	return strings.TrimSpace(vector(t, name))
}

// vectorZone has the records that come with the signed samples, and those of
// RFC 8463 §A.2, which are for the samples with the message of RFC 6376.
func vectorZone(t *testing.T) *txtResolver {
	z := rfc8463Zone()
	z.txt["sed._domainkey.test.ex."] = []string{vectorRecord(t, "eximtest.dns")}
	z.txt["test._domainkey.football.example.com."] = []string{vectorRecord(t, "test.txt")}
	return z
}

func TestSignedSamplesVerify(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		file string
		want string
		err  error // Of the first.
	}{
		{"rfc6376.signed.msg", "pass pass", nil},
		{"rfc6376.signed.rsa.msg", "pass", nil},
		{"ed25519test2.msg", "pass", nil}, // Made by Exim.
		{"test.message.baddomain", "neutral", ErrSyntax},
		// There is no record for these. That their bodies and fields are read as they
		// were signed is tested below.
		{"message.mbox", "permerror", ErrNoRecord},
		{"test2.message", "permerror", ErrNoRecord},
		// Not signed.
		{"test.message", "", nil},
		{"test_extra.message", "", nil},
		{"test_nofrom.message", "", nil},
		{"rfc6376.msg", "", nil},
		{"rfc6376.w1258.msg", "", nil},
		{"ed25519test.msg", "", nil},
	} {
		l := verifyText(t, vectorZone(t), vector(t, tc.file), VerifyOptions{})
		if got := statuses(l); got != tc.want {
			t.Errorf("%s: got %q, expected %q: %s", tc.file, got, tc.want, errorsOf(l))
		} else if tc.err != nil && !errors.Is(l[0].Err, tc.err) {
			t.Errorf("%s: got error %v, expected %v", tc.file, l[0].Err, tc.err)
		}
	}
}

// The keys of these are not among the samples; body hashes need none.
func TestBodyHashesOfSamplesAreThoseSigned(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"message.mbox", "test2.message"} {
		msg := vector(t, file)
		x, err := ReadIndex(strings.NewReader(msg), int64(len(msg)))
		if err != nil {
			t.Fatal(err)
		}
		l := verifyText(t, &txtResolver{}, msg, VerifyOptions{})
		h, err := x.BodyHashes([]BodySpec{l[0].Signature.bodySpec()})
		if err != nil || !bytes.Equal(h[0].Sum[:], l[0].Signature.BodyHash) {
			t.Errorf("%s: got %x, expected %x, %v", file, h[0].Sum, l[0].Signature.BodyHash, err)
		}
	}
}

// The key of the samples is the RSA key of RFC 8463.
func TestSampleRecordsAreUsedAsTheyShould(t *testing.T) {
	t.Parallel()
	msg := vector(t, "test.message")
	sel := mustSelector(t, "test", rsaKey(t))
	h, err := Sign(strings.NewReader(msg), int64(len(msg)), mustDomain(t, "example.com"), []Selector{sel}, SignOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		file string
		want Status
		err  error
	}{
		{"test.txt", StatusPass, nil},
		{"test2.txt", StatusPass, nil},                     // Without k=.
		{"badk.txt", StatusPermerror, ErrKey},              // An unknown k=.
		{"badversion.txt", StatusPermerror, ErrNoRecord},   // Another v=, so it is no key record of ours.
		{"test_bad.txt", StatusPermerror, ErrRecordSyntax}, // Base64 that is cut.
		{"test_tlsrpt.txt", StatusPermerror, ErrKey},       // Only for TLS reports.
		{"ed25519test.dns", StatusPermerror, ErrKey},       // Another type of key.
		{"eximtest.dns", StatusPermerror, ErrKey},          // And another.
	} {
		z := &txtResolver{txt: map[string][]string{"test._domainkey.example.com.": {vectorRecord(t, tc.file)}}}
		l := verifyText(t, z, h+msg, VerifyOptions{})
		if len(l) != 1 || l[0].Status != tc.want || !errors.Is(l[0].Err, tc.err) {
			t.Errorf("%s: got %s: %s", tc.file, statuses(l), errorsOf(l))
		}
	}
}

func TestSamplesAreSignedAndVerify(t *testing.T) {
	t.Parallel()
	sels := []Selector{mustSelector(t, "test", rsaKey(t)), mustSelector(t, "brisbane", ed25519Key(t))}
	for _, file := range []string{"test.message", "test_extra.message", "rfc6376.msg", "rfc6376.w1258.msg", "ed25519test.msg", "message.mbox", "test2.message"} {
		msg := vector(t, file)
		h, err := Sign(strings.NewReader(msg), int64(len(msg)), mustDomain(t, "example.com"), sels, SignOptions{})
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		l := verifyText(t, withKeys(t, "example.com", sels...), h+msg, VerifyOptions{})
		if got := statuses(l); !strings.HasPrefix(got, "pass pass") {
			t.Errorf("%s: got %s: %s", file, got, errorsOf(l))
		}
	}
	msg := vector(t, "test_nofrom.message")
	if _, err := Sign(strings.NewReader(msg), int64(len(msg)), mustDomain(t, "example.com"), sels, SignOptions{}); !errors.Is(err, ErrFrom) {
		t.Errorf("without From: got error %v", err)
	}
}
