package imap

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// monthNames has date-month of RFC 9051 §9.
const monthNames = "JanFebMarAprMayJunJulAugSepOctNovDec"

var (
	errDate     = errors.New("invalid date")
	errDateTime = errors.New("invalid date-time")
)

// A Date is a day of the calendar, without time and zone. Searches compare such
// days. RFC 9051 §6.4.4
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// DateOf returns the day of t in the location of t.
func DateOf(t time.Time) Date {
	y, m, d := t.Date()
	return Date{y, m, d}
}

// Compare returns -1, 0 or 1 when d is before, the same as, or after o.
func (d Date) Compare(o Date) int {
	a, b := d.ordinal(), o.ordinal()
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (d Date) ordinal() int {
	return (d.Year*16+int(d.Month))*32 + d.Day
}

// Time returns the start of the day in loc.
func (d Date) Time(loc *time.Location) time.Time {
	return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, loc)
}

// AppendTo appends the date as "1-Feb-1994". RFC 9051 §9, production date-text
func (d Date) AppendTo(b []byte) []byte {
	b = strconv.AppendInt(b, int64(d.Day), 10)
	b = append(b, '-')
	b = appendMonth(b, d.Month)
	b = append(b, '-')
	return appendPadded(b, d.Year, 4)
}

// String returns the date as "1-Feb-1994".
func (d Date) String() string {
	return string(d.AppendTo(nil))
}

// ParseDate parses a date of one or two digits for the day, such as "1-Feb-1994".
// The day must exist. RFC 9051 §9, production date-text
func ParseDate(s string) (Date, error) {
	n := 1
	if len(s) == len("02-Jan-2006") {
		n = 2
	} else if len(s) != len("2-Jan-2006") {
		return Date{}, errDate
	}
	day, ok := digits(s[:n])
	d, ok2 := parseDayMonthYear(day, s[n:])
	if !ok || !ok2 {
		return Date{}, errDate
	}
	return d, nil
}

// parseDayMonthYear parses "-Jan-2006" and checks that the day exists.
func parseDayMonthYear(day int, s string) (Date, bool) {
	if s[0] != '-' || s[4] != '-' {
		return Date{}, false
	}
	year, ok := digits(s[5:9])
	month, ok2 := parseMonth(s[1:4])
	if !ok || !ok2 || day < 1 {
		return Date{}, false
	}
	d := Date{year, month, day}
	return d, DateOf(d.Time(time.UTC)) == d
}

func parseMonth(s string) (time.Month, bool) {
	for i := 0; i < len(monthNames); i += 3 {
		if strings.EqualFold(s, monthNames[i:i+3]) {
			return time.Month(i/3 + 1), true
		}
	}
	return 0, false
}

func appendMonth(b []byte, m time.Month) []byte {
	i := (int(m) - 1) * 3
	return append(b, monthNames[i:i+3]...)
}

// digits returns the value of s if all its bytes are digits.
func digits(s string) (int, bool) {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, s != ""
}

// appendPadded appends the last width digits of n, with zeros in front.
func appendPadded(b []byte, n, width int) []byte {
	for range width {
		b = append(b, '0')
	}
	for i := len(b) - 1; width > 0; i, width = i-1, width-1 {
		b[i] = '0' + byte(n%10)
		n /= 10
	}
	return b
}

// AppendDateTime appends t, in its location, as " 1-Feb-1994 21:52:25 -0800", without
// quotes. Zones are cut to minutes. RFC 9051 §9, production date-time
func AppendDateTime(b []byte, t time.Time) []byte {
	y, month, d := t.Date()
	if d < 10 {
		b = append(b, ' ', '0'+byte(d))
	} else {
		b = appendPadded(b, d, 2)
	}
	b = append(b, '-')
	b = appendMonth(b, month)
	b = append(b, '-')
	b = appendPadded(b, max(y, 0), 4)
	h, m, s := t.Clock()
	b = append(b, ' ')
	b = appendPadded(b, h, 2)
	b = append(b, ':')
	b = appendPadded(b, m, 2)
	b = append(b, ':')
	b = appendPadded(b, s, 2)
	_, offset := t.Zone()
	sign := byte('+')
	if offset < 0 {
		sign, offset = '-', -offset
	}
	b = append(b, ' ', sign)
	b = appendPadded(b, offset/3600, 2)
	return appendPadded(b, offset/60%60, 2)
}

// ParseDateTime parses a date-time without its quotes, such as
// " 1-Feb-1994 21:52:25 -0800". The day has two places, the first may be a space, which
// some clients leave out. The time must exist; a leap second counts as the next one. The
// result has a fixed zone, or UTC for "+0000". RFC 9051 §9, production date-time
func ParseDateTime(s string) (time.Time, error) {
	if len(s) == len("2-Jan-2006 15:04:05 -0700") {
		s = " " + s
	}
	if len(s) != len("02-Jan-2006 15:04:05 -0700") || s[11] != ' ' || s[14] != ':' || s[17] != ':' || s[20] != ' ' {
		return time.Time{}, errDateTime
	}
	dayText := s[:2]
	if dayText[0] == ' ' {
		dayText = dayText[1:]
	}
	day, ok := digits(dayText)
	date, ok2 := parseDayMonthYear(day, s[2:11])
	ok = ok && ok2
	var f [5]int
	for i, text := range [...]string{s[12:14], s[15:17], s[18:20], s[22:24], s[24:26]} {
		f[i], ok2 = digits(text)
		ok = ok && ok2
	}
	if !ok || f[0] > 23 || f[1] > 59 || f[2] > 60 || f[3] > 23 || f[4] > 59 || s[21] != '+' && s[21] != '-' {
		return time.Time{}, errDateTime
	}
	offset := f[3]*3600 + f[4]*60
	loc := time.UTC
	if s[21] == '-' {
		offset = -offset
	}
	if offset != 0 {
		loc = time.FixedZone("", offset)
	}
	return time.Date(date.Year, date.Month, date.Day, f[0], f[1], f[2], 0, loc), nil
}
