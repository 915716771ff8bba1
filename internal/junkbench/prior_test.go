package junkbench

import (
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"mox/junk"
)

// telling are parts of tokens that identify the corpus: the hosts, addresses and names
// of those who collected it, and of the lists that they read.
var telling = []string{
	"netnoteinc", "jmason", "taint", "spamassassin", "slashnull", "zawodny", "labs", "yyyy", "zzzz", "qqqq", "jeremy", "jm@", "justin", "mason",
	"webnote", "example.com", "xent", "ilug", "linux.ie", "tuatha", "freshrpms", "razor", "exmh", "rpm", "fork", "sightings", "ssz.com", "einstein",
	"cypherpunks", "egroups", "yahoogroups", "sourceforge", "osdn", "mailman", "listinfo", "geeknews", "webmake", "debian", "newsisfree", "irish",
	"spambayes", "hughes-family", "2001", "2002", "2003",
}

// dates are words that say when the corpus was collected.
var dates = strings.Fields("jan feb mar apr jun jul aug sep oct nov dec mon tue wed thu fri sat sun gmt pst pdt edt est " +
	"january february march april june july august september october november december monday tuesday wednesday thursday friday saturday sunday")

// tells says whether a token identifies the corpus: it has to do with addresses, or
// with one of those who collected it. (Tokens have nothing of To, Delivered-To,
// Received, Return-Path, List fields and Date.)
func tells(text string) bool {
	prefix, rest, ok := strings.Cut(text, ":")
	if ok && (prefix == "from" || prefix == "reply-to" || prefix == "name" || prefix == "organization") && !strings.HasPrefix(rest, ".") {
		return true
	}
	word := text
	if ok {
		word = rest
	}
	if slices.Contains(dates, word) {
		return true
	}
	for _, s := range telling {
		if strings.Contains(text, s) {
			return true
		}
	}
	return strings.Contains(text, "list-")
}

// writePrior writes a prior made from messages.
func writePrior(w io.Writer, mails []mail) error {
	b := junk.NewPriorBuilder(junk.PriorOptions{MaxWords: 30_000, Senders: 3, Skip: tells})
	for _, m := range mails {
		b.Add(m.tokens, m.source, m.spam)
	}
	_, err := b.WriteTo(w)
	return err
}

// TestMakePrior is "make junkprior": it writes the prior that comes with the program,
// from the whole corpus, to the file that the environment variable names.
func TestMakePrior(t *testing.T) {
	if os.Getenv("MOX_JUNKPRIOR") == "" {
		t.Skip("makes a file: run it with make junkprior")
	}
	c := readCorpus(t)
	f, err := os.Create(os.Getenv("MOX_JUNKPRIOR"))
	if err != nil {
		t.Fatal(err)
	}
	if err := writePrior(f, c.mails); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
