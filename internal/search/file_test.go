package search

import "testing"

func TestLinesThatMayMeanSomethingElseAreNotPlain(t *testing.T) {
	t.Parallel()
	for lines, want := range map[string]bool{
		"Subject: text\r\nSubject: more?\r\n\r\n": true,
		"Subject:\ttext\n":                        true,
		"Subject: one\r\n two\r\n":                false, // Continued.
		"Subject: one\n\ttwo\n":                   false,
		"Subject: o\rne\r\n":                      false, // A bare CR is left out of values.
		"Subject: one\r":                          false,
		"Subject: o\x00ne\r\n":                    false,
		"Subject: =?utf-8?q?one?=\r\n":            false, // Encoded.
		"Subject: \x1b$Bone\r\n":                  false,
		"Subject: été\r\n":                        false,
	} {
		if got := isPlain([]byte(lines)); got != want {
			t.Errorf("%q: %v", lines, got)
		}
	}
}
