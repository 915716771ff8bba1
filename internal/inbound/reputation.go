package inbound

import (
	"fmt"
	"time"

	"mox/store"
)

// What an account knows of a sender, from what the user has judged of earlier mail that
// was meant for the same mailbox, and from whom the user has written to. The methods go
// from what says most about the author to what says least; the first one that has
// something to go by decides. Each is a function from outcomes, newest first, to a
// signal.

// Methods, which are reasons of verdicts too.
const (
	methodFromFull   = "msgfromfull"
	methodToFull     = "msgtofull"
	methodFromDomain = "msgfromdomain"
	methodFromOrg    = "msgfromorgdomain"
	methodToDomain   = "msgtodomain"
	methodToOrg      = "msgtoorgdomain"
	methodDKIMSPF    = "dkimspf"
	methodIP1        = "ip1"
	methodIP2        = "ip2"
	methodIP3        = "ip3"
	methodNone       = "none"
)

// How far back the methods look, and at how many messages.
const (
	day            = 24 * time.Hour
	fromFullWindow = 3 * 365 * day
	fromFullNewest = 2
	domainWindow   = 2 * 365 * day
	domainNewest   = 20
	serverWindow   = 365 * day / 2
	serverNewest   = 50
	networkWindow  = 365 * day / 4
	networkNewest  = 50
	toFullWindow   = 3 * 365 * day
	toDomainWindow = 2 * 365 * day
	forgedNewest   = 2

	// domainAuthors is how many addresses of a domain must have sent nothing but junk.
	domainAuthors = 3
)

// networkMinimum is how many messages must have come from the three sizes of networks.
var networkMinimum = [3]int{2, 5, 10}

// lean is what is likely.
type lean int8

const (
	leanNone lean = iota
	leanHam
	leanJunk
)

// signal is what a method says.
type signal struct {
	method     string
	lean       lean
	conclusive bool
	why        string
}

func count(l []store.Outcome) (ham, junk int) {
	for _, o := range l {
		if o.Junk {
			junk++
		} else {
			ham++
		}
	}
	return ham, junk
}

// newestJunk reports whether the newest message is junk, and the one before it, if
// there is one.
func newestJunk(l []store.Outcome) bool {
	return len(l) > 0 && l[0].Junk && (len(l) == 1 || l[1].Junk)
}

// history describes outcomes.
func history(l []store.Outcome, of string) string {
	ham, junk := count(l)
	return fmt.Sprintf("of %s, %d of %d recent messages were junk", of, junk, ham+junk)
}

// fromAddressSignal is about the address in From, with outcomes of messages that were
// validated as this one is.
func fromAddressSignal(l []store.Outcome, validated bool) signal {
	s := signal{methodFromFull, leanHam, validated, history(l, "the address in From")}
	if newestJunk(l) {
		s.lean = leanJunk
	}
	return s
}

// forgedAddressSignal is about an address in From that is not validated this time, with
// outcomes of messages for which it was.
func forgedAddressSignal(l []store.Outcome) signal {
	return signal{methodFromFull, leanJunk, newestJunk(l), "From is not authenticated, as earlier messages were; " + history(l, "the address")}
}

// sentSignal is about an address or domain that the account has sent to.
func sentSignal(method string, last time.Time) signal {
	what := map[string]string{methodToFull: "the address in From", methodToDomain: "the domain in From", methodToOrg: "the organization in From"}[method]
	return signal{method, leanHam, true, fmt.Sprintf("this account has sent to %s, on %s", what, last.UTC().Format(time.DateOnly))}
}

// fromDomainSignal is about a domain in From, or the organization it is of, with
// outcomes of messages that were validated as this one is.
func fromDomainSignal(method string, l []store.Outcome) signal {
	ham, _ := count(l)
	s := signal{method: method, why: history(l, "the domain in From")}
	switch {
	case 10*ham > 8*len(l):
		s.lean, s.conclusive = leanHam, true
	case ham == 0:
		authors := map[uint32]bool{}
		for _, o := range l {
			authors[o.Author] = true
		}
		s.lean, s.conclusive = leanJunk, len(authors) >= domainAuthors
	}
	return s
}

// forgedDomainSignal is about a domain that is not validated this time, with outcomes of
// messages for which it was.
func forgedDomainSignal(method string, l []store.Outcome) signal {
	newest := l[:min(len(l), forgedNewest)]
	ham, _ := count(newest)
	return signal{method, leanJunk, ham == 0, "From is not authenticated, as earlier messages were; " + history(newest, "the domain")}
}

// serverSignal is about the servers a message is from: each group is the outcomes of
// messages with the same DKIM domain, or SPF identity.
func serverSignal(groups [][]store.Outcome) signal {
	hamSigns, junkSigns, junkMessages := 0, 0, 0
	total := 0
	for _, l := range groups {
		ham, junk := count(l)
		total += ham + junk
		switch {
		case 10*junk < ham+junk: // Less than 0.1.
			hamSigns++
		case 10*junk > 9*(ham+junk): // More than 0.9.
			junkSigns++
			junkMessages = max(junkMessages, ham+junk) // A message can be in several groups.
		}
	}
	s := signal{method: methodDKIMSPF, why: fmt.Sprintf("of %d domains with valid DKIM or SPF that were seen before, mail of %d was not junk, and of %d junk", len(groups), hamSigns, junkSigns)}
	switch {
	case hamSigns > 0 && junkSigns == 0:
		s.lean, s.conclusive = leanHam, true
	case junkSigns > 0 && hamSigns == 0:
		s.lean, s.conclusive = leanJunk, junkMessages > 1
	}
	return s
}

// networkSignal is about the network the client is in, with its size from narrow to
// wide.
func networkSignal(size int, l []store.Outcome) signal {
	_, junk := count(l)
	n := len(l)
	s := signal{method: [3]string{methodIP1, methodIP2, methodIP3}[size]}
	s.why = history(l, [3]string{"the client's address", "the client's network", "the client's wider network"}[size])
	switch {
	case 4*junk < n: // Less than 0.25.
		s.lean = leanHam
	case 4*junk > 3*n: // More than 0.75.
		s.lean = leanJunk
	}
	s.conclusive = (10*junk <= n || 10*junk >= 9*n) && n >= networkMinimum[size]
	return s
}
