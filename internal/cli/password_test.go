package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

func TestPasswordsComeFromWhatIsNoTerminal(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"secret\nrest": "secret", "secret\r\n": "secret", "secret": "secret", "\n": "", "": ""} {
		var asked bytes.Buffer
		e := &env{in: strings.NewReader(in), err: &asked}
		got, err := e.readPassword(context.Background(), "password")
		if got != want || (err == nil) != (want != "") || asked.Len() > 0 {
			t.Errorf("%q: got %q, %v, asked %q", in, got, err, asked.String())
		}
	}
}
