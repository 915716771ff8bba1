package message

// boundaries are the boundaries of the multiparts that are open, found by their
// text, so that the time for a line does not grow with the nesting.
type boundaries struct {
	open    map[string]int         // Level of the innermost multipart with the boundary.
	lengths [MaxBoundary + 1]uint8 // Number of boundaries in open of each length, at most MaxDepth.
}

// push opens a boundary. It returns the level of an outer multipart with the same
// boundary, which is hidden now, or -1.
func (s *boundaries) push(text string, level int) (hidden int) {
	if s.open == nil {
		s.open = map[string]int{}
	}
	hidden, ok := s.open[text]
	if !ok {
		hidden = -1
		s.lengths[len(text)]++
	}
	s.open[text] = level
	return hidden
}

// pop closes a boundary, given what push returned for it.
func (s *boundaries) pop(text string, hidden int) {
	if hidden >= 0 {
		s.open[text] = hidden
		return
	}
	delete(s.open, text)
	s.lengths[len(text)]--
}

// match looks for a boundary delimiter at the beginning of a line, given without its
// line end (RFC 2046 §5.1.1), and returns the level it belongs to. White space may
// come after it, and after that anything, because some software writes it. The
// longest that matches counts: boundaries may begin with one another.
func (s *boundaries) match(line []byte) (level int, closing, ok bool) {
	if len(s.open) == 0 || len(line) < 3 || line[0] != '-' || line[1] != '-' {
		return 0, false, false
	}
	line = line[2:]
	for n := min(len(line), MaxBoundary); n > 0; n-- {
		if s.lengths[n] == 0 {
			continue
		}
		rest, end := line[n:], false
		if len(rest) >= 2 && rest[0] == '-' && rest[1] == '-' {
			rest, end = rest[2:], true
		}
		if len(rest) > 0 && !isWSP(rest[0]) {
			continue
		}
		if level, found := s.open[string(line[:n])]; found {
			return level, end, true
		}
	}
	return 0, false, false
}
