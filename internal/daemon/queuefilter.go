package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"mox/dns"
	"mox/queue/queuedb"
)

// QueueFilter selects messages for the commands about the queue, as users write it.
// Empty fields select all.
type QueueFilter struct {
	IDs         []int64
	Account     string
	From, To    string  // Text in addresses, or "@domain".
	Hold        string  // "true" or "false".
	Submitted   string  // "<" or ">" and a duration from now.
	NextAttempt string  // As Submitted.
	Transport   *string // For retired messages that of the last attempt.
	Max         int     // At most this many. Zero is all.

	// For retired messages only.
	Result       string // "success" or "failure".
	LastActivity string // As Submitted.

	Sort string // "nextattempt", "queued", or for retired messages "lastactivity". Empty is "queued".
	Asc  bool
}

// readQueueFilter reads a filter from a line.
func readQueueFilter(line string) (QueueFilter, error) {
	var f QueueFilter
	dec := json.NewDecoder(strings.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return f, fmt.Errorf("parse filter: %w", err)
	}
	return f, nil
}

// parseRelative parses "<" or ">" and a duration from now. One of the times is zero.
func parseRelative(name, s string, now time.Time) (before, after time.Time, err error) {
	if s == "" {
		return before, after, nil
	}
	d, err := time.ParseDuration(s[1:])
	switch {
	case err == nil && s[0] == '<':
		return now.Add(d), after, nil
	case err == nil && s[0] == '>':
		return before, now.Add(d), nil
	}
	return before, after, fmt.Errorf("%s: %q is not < or > followed by a duration from now, such as <1h or >-30m", name, s)
}

func parseBool(name, s string) (*bool, error) {
	if s == "" {
		return nil, nil
	}
	v, err := strconv.ParseBool(s)
	if err != nil {
		return nil, fmt.Errorf("%s: %q is neither true nor false", name, s)
	}
	return &v, nil
}

// asciiDomain returns text about an address with the domain in the stored form, if it
// is one.
func asciiDomain(s string) (string, error) {
	name, ok := strings.CutPrefix(s, "@")
	if !ok || strings.HasPrefix(name, "[") {
		return s, nil
	}
	d, err := dns.ParseDomain(name)
	if err != nil {
		return "", err
	}
	return "@" + d.ASCII, nil
}

// queued returns the filter for messages in the queue.
func (f QueueFilter) queued(now time.Time) (queuedb.Filter, queuedb.Page, error) {
	q := queuedb.Filter{IDs: f.IDs, Account: f.Account, Transport: f.Transport}
	p := queuedb.Page{Desc: !f.Asc}
	var errs [5]error
	q.From, errs[0] = asciiDomain(f.From)
	q.To, errs[1] = asciiDomain(f.To)
	q.Hold, errs[2] = parseBool("-hold", f.Hold)
	q.QueuedBefore, q.QueuedAfter, errs[3] = parseRelative("-submitted", f.Submitted, now)
	q.NextBefore, q.NextAfter, errs[4] = parseRelative("-nextattempt", f.NextAttempt, now)
	err := errors.Join(errs[:]...)
	switch f.Sort {
	case "", "queued":
	case "nextattempt":
		p.Sort = queuedb.ByNextAttempt
	default:
		err = errors.Join(err, fmt.Errorf("-sort: %q is neither queued nor nextattempt", f.Sort))
	}
	return q, p, err
}

// retired returns the filter for retired messages.
func (f QueueFilter) retired(now time.Time) (queuedb.RetiredFilter, queuedb.RetiredPage, error) {
	q := queuedb.RetiredFilter{IDs: f.IDs, Account: f.Account, Transport: f.Transport}
	p := queuedb.RetiredPage{Asc: f.Asc}
	var errs [4]error
	q.From, errs[0] = asciiDomain(f.From)
	q.To, errs[1] = asciiDomain(f.To)
	q.QueuedBefore, q.QueuedAfter, errs[2] = parseRelative("-submitted", f.Submitted, now)
	q.ActivityBefore, q.ActivityAfter, errs[3] = parseRelative("-lastactivity", f.LastActivity, now)
	err := errors.Join(errs[:]...)
	success := f.Result == "success"
	switch f.Result {
	case "":
	case "success", "failure":
		q.Success = &success
	default:
		err = errors.Join(err, fmt.Errorf("-result: %q is neither success nor failure", f.Result))
	}
	switch f.Sort {
	case "", "queued":
	case "lastactivity":
		p.ByActivity = true
	default:
		err = errors.Join(err, fmt.Errorf("-sort: %q is neither queued nor lastactivity", f.Sort))
	}
	return q, p, err
}
