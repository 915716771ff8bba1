package config

import (
	"strings"
	"testing"
)

const testUpdateSource = `UpdateSource:
	Domain: updates.example
	ChangelogURL: https://updates.example/changelog
	PublicKey: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
`

func TestUpdateSourceIsChecked(t *testing.T) {
	t.Parallel()
	s, err := testLoad("CheckUpdates: true\n"+testUpdateSource+testStatic, testDynamic)
	if err != nil {
		t.Fatal(err)
	}
	if u := s.UpdateSource; u == nil || u.Domain.ASCII != "updates.example" || u.Key[31] != 31 {
		t.Errorf("got %+v", u)
	}
	if s := testSnapshot(t); s.UpdateSource != nil || s.Static.CheckUpdates {
		t.Errorf("updates are looked for without the operator asking for it")
	}
	for old, want := range map[string]string{
		testUpdateSource: "CheckUpdates: UpdateSource must say where",
		"https://":       "starts with https://",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=": "not 32 bytes in base64",
		"updates.example\n":                            "UpdateSource.Domain",
	} {
		replacement := map[string]string{"https://": "http://", "updates.example\n": "updates..example\n"}[old]
		if strings.HasPrefix(old, "AAEC") {
			replacement = "AAEC"
		}
		_, err := testLoad("CheckUpdates: true\n"+strings.Replace(testUpdateSource, old, replacement, 1)+testStatic, testDynamic)
		if got := errorLines(t, err); !strings.Contains(got, want) {
			t.Errorf("without %q: got %q, want %q", old, got, want)
		}
	}
}
