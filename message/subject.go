package message

import "strings"

// BaseSubject returns the base subject of RFC 5256 §2.1 in folded form (see Fold),
// and whether something was removed that marks a reply or forward. The subject is
// given decoded (see Header.Text). One with a NUL has no base subject.
func BaseSubject(subject string) (base string, isReply bool) {
	if strings.IndexByte(subject, 0) >= 0 {
		return "", false
	}
	s := collapseSpace(Fold(subject))
	for {
		// (2)
		for {
			s = strings.TrimRight(s, " ")
			t, ok := strings.CutSuffix(s, "(fwd)")
			if !ok {
				break
			}
			s, isReply = t, true
		}
		// (3) to (5)
		t, reply := trimLeaders(s)
		s, isReply = t, isReply || reply
		// (6)
		if !strings.HasPrefix(s, "[fwd:") || !strings.HasSuffix(s, "]") {
			return s, isReply
		}
		s, isReply = s[len("[fwd:"):len(s)-1], true
	}
}

// collapseSpace makes each run of white space one space.
func collapseSpace(s string) string {
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		if !isSpace(s[i]) {
			b = append(b, s[i])
		} else if len(b) == 0 || b[len(b)-1] != ' ' {
			b = append(b, ' ')
		}
	}
	return string(b)
}

// trimLeaders removes subj-leader and subj-blob from the beginning until nothing
// more matches, steps 3 to 5.
func trimLeaders(s string) (rest string, isReply bool) {
	for {
		// (3)
		s = strings.TrimLeft(s, " ")
		t := s
		for n := blob(t); n > 0; n = blob(t) {
			t = t[n:]
		}
		if n := refwd(t); n > 0 {
			s, isReply = t[n:], true
			continue
		}
		// (4) No subj-refwd comes after these blobs, so step 3 fails for each of
		// them, and they go as long as something is left.
		for len(s) > len(t) {
			n := blob(s)
			if n == len(s) {
				break
			}
			s = s[n:]
		}
		return s, isReply
	}
}

// blob returns the length of the subj-blob at the beginning of s, 0 if there is
// none: "[" *BLOBCHAR "]" *WSP.
func blob(s string) int {
	if !strings.HasPrefix(s, "[") {
		return 0
	}
	n := strings.IndexAny(s[1:], "[]")
	if n < 0 || s[1+n] == '[' {
		return 0
	}
	return len(s) - len(strings.TrimLeft(s[1+n+1:], " "))
}

// refwd returns the length of the subj-refwd at the beginning of s, 0 if there is
// none: ("re" / ("fw" ["d"])) *WSP [subj-blob] ":".
func refwd(s string) int {
	t, ok := strings.CutPrefix(s, "re")
	if !ok {
		if t, ok = strings.CutPrefix(s, "fw"); !ok {
			return 0
		}
		t = strings.TrimPrefix(t, "d")
	}
	t = strings.TrimLeft(t, " ")
	t = t[blob(t):]
	if !strings.HasPrefix(t, ":") {
		return 0
	}
	return len(s) - len(t) + 1
}
