package imapclient

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"mox/imap"
)

func TestSearch(t *testing.T) {
	t.Parallel()
	c := dial(t, Options{}, `C: c1 SEARCH CHARSET UTF-8 UNSEEN TEXT {2+}
		C: é
		S: * SEARCH 2 84
		S: * SEARCH 882 (MODSEQ 917162500)
		S: c1 OK done
		C: c2 UID SEARCH RETURN (MIN COUNT PARTIAL -1:-10) 1:*
		S: * ESEARCH (TAG "other") UID COUNT 1
		S: * ESEARCH (TAG "c2") UID MIN 4 COUNT 17 PARTIAL (-1:-10 4:5)
		S: c2 OK done
		C: c3 SEARCH RETURN (ALL) ALL
		S: * ESEARCH (TAG "c3") ALL 4:6,9
		S: c3 OK done
		`)
	program := imap.SearchProgram{Charset: "UTF-8", Key: imap.SearchKey{Op: imap.SearchAnd, Keys: []imap.SearchKey{
		{Op: imap.SearchNotFlag, Flag: imap.FlagSeen}, {Op: imap.SearchText, Text: "é"}}}}
	res, err := c.Search(ctxbg, Seq, program, SearchOptions{})
	if err != nil || !slices.Equal(res.Nums, []uint32{2, 84, 882}) || res.ModSeq != 917162500 || res.ESearch != nil {
		t.Errorf("got %+v, %v", res, err)
	}
	all := imap.SearchProgram{Key: imap.SearchKey{Op: imap.SearchSeq, Set: imap.NumSet{Ranges: []imap.NumRange{{First: 1}}}}}
	res, err = c.Search(ctxbg, UID, all, SearchOptions{Return: imap.SearchReturn{Given: true, Min: true, Count: true, Partial: &imap.PartialRange{First: -1, Last: -10}}})
	if err != nil || res.ESearch == nil || res.ESearch.Count.Value != 17 || res.ESearch.Min != 4 || res.ESearch.Partial.String() != "4:5" || len(res.Nums) != 0 {
		t.Errorf("got %+v, %v", res, err)
	}
	res, err = c.Search(ctxbg, Seq, imap.SearchProgram{}, SearchOptions{Return: imap.SearchReturn{Given: true, All: true}})
	if err != nil || !slices.Equal(res.Nums, []uint32{4, 5, 6, 9}) {
		t.Errorf("got %+v, %v", res, err)
	}
}

func TestFetch(t *testing.T) {
	t.Parallel()
	c := dial(t, Options{MaxLiteral: 3}, `C: c1 UID FETCH 1:* (UID BODY.PEEK[]<0.5>) (CHANGEDSINCE 7 VANISHED PARTIAL -1:-10)
		S: * VANISHED (EARLIER) 3
		S: * 1 FETCH (UID 4 BODY[]<0> {3}
		S: abc)
		S: * 9 EXISTS
		S: c1 OK done
		C: c2 FETCH 1:* (FLAGS)
		S: * 1 FETCH (FLAGS ())
		S: * 9 EXISTS
		S: * 2 FETCH (FLAGS (\Seen))
		S: c2 OK done
		C: c3 FETCH 1:* (BODY[])
		S: * 1 FETCH (BODY[] {10}
		S: 0123456789 UID 7)
		S: * 2 FETCH (BODY[] {4}
		S: abcd)
		S: c3 OK done
		C: c4 FETCH 1:* (BODY[])
		S: * 2 FETCH (BODY[] {4}
		`)
	every := imap.NumSet{Ranges: []imap.NumRange{{First: 1}}}
	items := []imap.FetchItem{{Attr: imap.FetchUID}, {Attr: imap.FetchBodySection, Peek: true, Partial: &imap.Partial{Count: 5}}}
	l, resp, err := c.Fetch(ctxbg, UID, every, items, FetchOptions{ChangedSince: 7, Vanished: true, Partial: &imap.PartialRange{First: -1, Last: -10}})
	if err != nil || len(l) != 1 || l[0].UID != 4 || string(l[0].Sections[0].Data) != "abc" || len(resp.Untagged) != 3 {
		t.Errorf("got %+v, %+v, %v", l, resp, err)
	}

	var seqs []uint32
	l, resp, err = c.Fetch(ctxbg, Seq, every, []imap.FetchItem{{Attr: imap.FetchFlags}}, FetchOptions{Each: func(f *FetchData) error {
		seqs = append(seqs, f.Seq)
		return nil
	}})
	if err != nil || len(l) != 0 || !slices.Equal(seqs, []uint32{1, 2}) || len(resp.Untagged) != 1 {
		t.Errorf("got %v, %+v, %v", seqs, resp, err)
	}

	// Larger than what would be kept, and not read to the end.
	var pieces []string
	body := []imap.FetchItem{{Attr: imap.FetchBodySection}}
	l, _, err = c.Fetch(ctxbg, Seq, every, body, FetchOptions{Literal: func(f *FetchData, s *FetchSection, r io.Reader) error {
		b := make([]byte, 2)
		_, err := io.ReadFull(r, b)
		pieces = append(pieces, fmt.Sprintf("%d %s %d", f.Seq, b, s.Size))
		return err
	}})
	if err != nil || !slices.Equal(pieces, []string{"1 01 10", "2 ab 4"}) || l[0].UID != 7 || l[0].Sections[0].Data != nil {
		t.Errorf("got %v, %+v, %v", pieces, l, err)
	}

	_, _, err = c.Fetch(ctxbg, Seq, every, body, FetchOptions{})
	checkRefused(t, err, imap.TypeBYE, imap.CodeTooBig)
}

func TestFetchCallbackFails(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for name, opts := range map[string]FetchOptions{
		"each":    {Each: func(*FetchData) error { return boom }},
		"literal": {Literal: func(*FetchData, *FetchSection, io.Reader) error { return boom }},
	} {
		c := dial(t, Options{}, "C: c1 FETCH * (BODY[])\nS: * 1 FETCH (BODY[] {1}\nS: x)\n")
		_, _, err := c.Fetch(ctxbg, Seq, imap.NumSet{Ranges: []imap.NumRange{{}}}, []imap.FetchItem{{Attr: imap.FetchBodySection}}, opts)
		if !errors.Is(err, boom) || c.broken == nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestFetchRaw(t *testing.T) {
	t.Parallel()
	script := `C: c%d FETCH 1:* ALL
		S: * 1 FETCH (BODY[] {10}
		S> c1 OK done
		S: x UID 7 X {1}
		S: y)
		S: * ok it is {5}
		S: c%d OK [READ-ONLY] done
		`
	c := dial(t, Options{}, fmt.Sprintf(script+script+"C: c3 FOO\nS: c3 NO [CANNOT] no\nC: c4 FOO\nS: c4 WHAT\n", 1, 1, 2, 2))
	var lines, literals []string
	h := RawHandler{
		Line: func(line []byte) error { lines = append(lines, string(line)); return nil },
		Literal: func(size int64, r io.Reader) error {
			b, err := io.ReadAll(io.LimitReader(r, 5))
			literals = append(literals, fmt.Sprintf("%d %s", size, b))
			return err
		},
	}
	st, err := c.FetchRaw(ctxbg, "FETCH 1:* ALL", h)
	if err != nil || st.Type != "OK" {
		t.Errorf("got %+v, %v", st, err)
	}
	if want := []string{"* 1 FETCH (BODY[] {10}", "x UID 7 X {1}", ")", "* ok it is {5}"}; !slices.Equal(lines, want) {
		t.Errorf("got lines %q, want %q", lines, want)
	}
	if !slices.Equal(literals, []string{"10 c1 OK", "1 y"}) {
		t.Errorf("got literals %q", literals)
	}
	if _, err := c.FetchRaw(ctxbg, "FETCH 1:* ALL", RawHandler{}); err != nil {
		t.Error(err)
	}
	_, err = c.FetchRaw(ctxbg, "FOO", RawHandler{})
	checkRefused(t, err, imap.TypeNO, "")
	if _, err = c.FetchRaw(ctxbg, "FOO", RawHandler{}); err == nil {
		t.Error("an unknown status is taken")
	}
}
