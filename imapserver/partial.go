package imapserver

import "mox/imap"

// PARTIAL. RFC 9394

// partialOf returns which of n results, from first up to, but not including, end, a range
// asks for. RFC 9394 §3.1
func partialOf(n int, p imap.PartialRange) (first, end int) {
	if p.First < 0 {
		return int(max(0, int64(n)+p.Last)), int(max(0, int64(n)+p.First+1))
	}
	return int(min(int64(n), p.First-1)), int(min(int64(n), p.Last))
}

// partial returns the positions that a range asks for. RFC 9394 §3.3
func partial(l []interval, p imap.PartialRange) []interval {
	n := 0
	for _, iv := range l {
		n += iv.end - iv.first
	}
	first, end := partialOf(n, p)
	var out []interval
	for _, iv := range l {
		n := iv.end - iv.first
		if a, b := max(first, 0), min(end, n); a < b {
			out = append(out, interval{iv.first + a, iv.first + b})
		}
		first, end = first-n, end-n
	}
	return out
}
