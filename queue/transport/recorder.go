package transport

import (
	"fmt"
	"strings"

	"mox/smtp"
	"mox/smtpclient"
)

// A recorder has the transcript of an attempt. A nil one records nothing.
type recorder struct {
	lines []string
}

// add adds a line, unless there are too many.
func (r *recorder) add(format string, args ...any) {
	if r == nil || len(r.lines) > maxTranscript {
		return
	}
	if len(r.lines) == maxTranscript {
		r.lines = append(r.lines, "...")
		return
	}
	r.lines = append(r.lines, cut(strings.ToValidUTF8(fmt.Sprintf(format, args...), "?"), maxTranscriptLine))
}

// reply adds the reply to a command.
func (r *recorder) reply(command string, reply smtpclient.Reply) {
	if reply.Code == 0 {
		r.add("%s: no reply", command)
		return
	}
	if len(reply.Lines) == 0 || command == "auth" && reply.Code == smtp.C334ContinueAuth {
		// The TLS handshake, and challenges, which are nobody else's business.
		r.add("%s: %d", command, reply.Code)
		return
	}
	r.add("%s: %s", command, strings.Join(reply.Lines, " / "))
}

// cut returns at most max octets of a text, on a boundary of characters.
func cut(s string, max int) string {
	if len(s) <= max {
		return s
	}
	return strings.ToValidUTF8(s[:max-len("...")], "") + "..."
}
