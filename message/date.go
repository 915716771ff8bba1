package message

import (
	"strings"
	"time"

	"mox/internal/lex"
)

// ParseDate reads the value of a Date field, RFC 5322 §3.3 with the obsolete forms
// of §4.3, and what other software writes: the order of asctime, a month before the
// day, ISO 8601, full names, a missing zone, AM and PM. As RFC 5256 §2.2 wants it,
// an invalid zone is UTC and an invalid time is 00:00:00 UTC. The result is in the
// zone of the field. It is false if there is no valid date.
func ParseDate(s string) (time.Time, bool) {
	d := dateParser{toks: dateTokens(s)}
	if !d.date() {
		return time.Time{}, false
	}
	d.clock()
	if d.year == 0 && !d.lateYear() {
		return time.Time{}, false
	}
	zone := d.zone()
	if d.year < 1 || d.year > 9999 || d.month < 1 || d.month > 12 || d.day < 1 || d.day > daysIn(d.month, d.year) {
		return time.Time{}, false
	}
	if !d.validClock() {
		d.hour, d.min, d.sec, zone = 0, 0, 0, 0
	}
	loc := time.UTC
	if zone != 0 {
		loc = time.FixedZone("", zone*60)
	}
	return time.Date(d.year, time.Month(d.month), d.day, d.hour, d.min, min(d.sec, 59), 0, loc), true
}

func daysIn(month, year int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// dateToken is a number, a word, or one other byte.
type dateToken struct {
	word string
	num  int // The value of digits, -1 for others.
}

// maxDateTokens is more than any form of date has.
const maxDateTokens = 32

// dateTokens splits s. Comments, white space and quotes are left out.
func dateTokens(s string) []dateToken {
	l := make([]dateToken, 0, 16)
	t := tokens{s: s}
	for t.skip(); t.pos < len(s) && len(l) < maxDateTokens; t.skip() {
		start := t.pos
		for t.pos < len(s) && lex.Digit.Has(s[t.pos]) {
			t.pos++
		}
		if w := s[start:t.pos]; w != "" {
			n := 0
			for i := range min(len(w), 9) {
				n = n*10 + int(w[i]-'0')
			}
			l = append(l, dateToken{w, n})
			continue
		}
		for t.pos < len(s) && lex.Alpha.Has(s[t.pos]) {
			t.pos++
		}
		if t.pos == start {
			t.pos++
		}
		if w := s[start:t.pos]; w != "\"" {
			l = append(l, dateToken{w, -1})
		}
	}
	return l
}

type dateParser struct {
	toks             []dateToken
	year, month, day int
	hour, min, sec   int
}

// peek returns the token i places ahead, an empty one past the end.
func (d *dateParser) peek(i int) dateToken {
	if i < len(d.toks) {
		return d.toks[i]
	}
	return dateToken{num: -1}
}

func (d *dateParser) drop(n int) { d.toks = d.toks[min(n, len(d.toks)):] }

// try passes the next token if it is one of those in set.
func (d *dateParser) try(set string) bool {
	if w := d.peek(0).word; len(w) == 1 && strings.Contains(set, w) {
		d.drop(1)
		return true
	}
	return false
}

// date reads up to the year, or up to the day if the year comes last.
func (d *dateParser) date() bool {
	for d.peek(0).num < 0 && d.monthAt(0) == 0 {
		if len(d.toks) == 0 {
			return false
		}
		d.drop(1)
	}
	if m := d.monthAt(0); m > 0 {
		// "Nov 21 1997", or "Nov 21 09:55:06 1997".
		d.month = m
		d.drop(1)
		d.try(".")
		d.day = d.peek(0).num
		d.drop(1)
		d.try(",")
		if d.peek(1).word != ":" {
			d.readYear()
		}
		return true
	}
	if len(d.peek(0).word) == 4 {
		d.year, d.month, d.day = d.peek(0).num, d.peek(2).num, d.peek(4).num
		d.drop(5)
		d.try("tT")
		return true
	}
	d.day = d.peek(0).num
	d.drop(1)
	for d.try(",.-/") {
	}
	if d.month = d.monthAt(0); d.month == 0 {
		d.month = d.peek(0).num
	}
	d.drop(1)
	for d.try(",.-/") {
	}
	d.readYear()
	return true
}

// readYear reads a year, with the rule of RFC 5322 §4.3 for short ones.
func (d *dateParser) readYear() {
	t := d.peek(0)
	if t.num < 0 {
		d.year = -1
		return
	}
	d.year = t.num
	switch {
	case len(t.word) == 2 && t.num < 50:
		d.year += 2000
	case len(t.word) == 2 || len(t.word) == 3:
		d.year += 1900
	}
	d.drop(1)
	d.try(",")
}

// lateYear reads the year of "Nov 21 09:55:06 1997", maybe after a zone.
func (d *dateParser) lateYear() bool {
	if d.peek(0).num < 0 && len(d.peek(1).word) == 4 && d.peek(1).num > 0 {
		// Keep the zone for last.
		d.toks[0], d.toks[1] = d.toks[1], d.toks[0]
	}
	d.readYear()
	return d.year > 0
}

// clock reads the time of day; one that is not there or malformed is -1.
func (d *dateParser) clock() {
	d.hour = -1
	if sep := d.peek(1).word; sep != ":" && sep != "." {
		return
	}
	d.hour, d.min = d.peek(0).num, d.peek(2).num
	d.drop(3)
	if d.try(":.") {
		d.sec = d.peek(0).num
		d.drop(1)
		if d.try(".") {
			d.drop(1)
		}
	}
	switch w := d.peek(0).word; {
	case equalFold(w, "am") && d.hour == 12:
		d.hour = 0
	case equalFold(w, "pm") && d.hour < 12:
		d.hour += 12
	case !equalFold(w, "am") && !equalFold(w, "pm"):
		return
	}
	d.drop(1)
}

func (d *dateParser) validClock() bool {
	// 60 is a leap second.
	return d.hour >= 0 && d.hour <= 23 && d.min >= 0 && d.min <= 59 && d.sec >= 0 && d.sec <= 60
}

// zone returns the offset of the zone in minutes, 0 if it is unknown.
func (d *dateParser) zone() int {
	offset := 0
	if t := d.peek(0); t.num < 0 && t.word != "+" && t.word != "-" {
		offset = namedZone(t.word)
		if t.word != "" {
			d.drop(1)
		}
		if offset != 0 {
			return offset
		}
	}
	sign := 1
	switch d.peek(0).word {
	case "+":
	case "-":
		sign = -1
	default:
		return 0
	}
	t := d.peek(1)
	if len(t.word) == 2 && d.peek(2).word == ":" {
		t.num = t.num*100 + max(d.peek(3).num, 0)
	} else if len(t.word) != 4 {
		return 0
	}
	if t.num < 0 || t.num%100 > 59 || t.num > 2359 {
		return 0
	}
	return sign * (t.num/100*60 + t.num%100)
}

// namedZone returns the offsets of RFC 5322 §4.3. Other names, military ones too,
// say nothing.
func namedZone(s string) int {
	switch strings.ToUpper(s) {
	case "EDT":
		return -4 * 60
	case "EST", "CDT":
		return -5 * 60
	case "CST", "MDT":
		return -6 * 60
	case "MST", "PDT":
		return -7 * 60
	case "PST":
		return -8 * 60
	}
	return 0
}

// monthAt returns the month, 1 to 12, that the word i places ahead names, by its
// first three letters; 0 if it names none.
func (d *dateParser) monthAt(i int) int {
	w := d.peek(i).word
	if len(w) < 3 {
		return 0
	}
	const months = "janfebmaraprmayjunjulaugsepoctnovdec"
	for m := range 12 {
		if equalFold(w[:3], months[3*m:3*m+3]) {
			return m + 1
		}
	}
	return 0
}

// FormatDate writes a date-time of RFC 5322 §3.3.
func FormatDate(t time.Time) string {
	return t.Format("Mon, 2 Jan 2006 15:04:05 -0700")
}
