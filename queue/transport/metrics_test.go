package transport

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
)

func TestLabelsAreFew(t *testing.T) {
	t.Parallel()
	codes, subjects := map[string]bool{}, map[string]bool{}
	for code := range 600 {
		codes[codeLabel(code)] = true
		for detail := range 20 {
			subjects[subjectLabel(fmt.Sprintf("%d.%d.%d", code%10, detail, code))] = true
		}
	}
	if len(codes) > len(knownCodes)+7 || len(subjects) > 101 {
		t.Errorf("%d and %d labels", len(codes), len(subjects))
	}
	for _, tc := range []struct{ code, want string }{{codeLabel(250), "250"}, {codeLabel(299), "2xx"}, {codeLabel(0), "0"}, {subjectLabel("5.7.30"), "5.7"}, {subjectLabel(""), ""}, {subjectLabel("5.12.1"), ""}} {
		if tc.code != tc.want {
			t.Errorf("got %q, want %q", tc.code, tc.want)
		}
	}
}

func TestLabelsOfConnections(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err  error
		want string
	}{
		{nil, "ok"},
		{fmt.Errorf("dial: %w", context.Canceled), "canceled"},
		{context.DeadlineExceeded, "timeout"},
		{os.ErrDeadlineExceeded, "timeout"},
		{errors.New("refused"), "error"},
	} {
		if got := connectionLabel(tc.err); got != tc.want {
			t.Errorf("%v: got %q, want %q", tc.err, got, tc.want)
		}
	}
}
