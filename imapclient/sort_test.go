package imapclient

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"mox/imap"
)

func TestSort(t *testing.T) {
	t.Parallel()
	c := dial(t, Options{}, `C: c1 SORT (REVERSE DATE SUBJECT) UTF-8 UNSEEN
		S: * SORT 5 3 4 (MODSEQ 7)
		S: c1 OK done
		C: c2 UID SORT RETURN (COUNT UPDATE) (ARRIVAL) US-ASCII ALL
		S: * ESEARCH (TAG "c2") UID COUNT 3 ALL 23,21:22
		S: * NO [NOUPDATE "c2"] no
		S: c2 OK done
		C: c3 UID THREAD REFERENCES UTF-8 ALL
		S: * THREAD (2)(3 6 (4 23)(44 7 96))((8)(9))
		S: c3 OK done
		C: c4 CANCELUPDATE "c2" "c3"
		S: c4 OK done
		C: c5 ESEARCH IN (PERSONAL SUBTREE-ONE (Inbox lists)) RETURN (COUNT) UNSEEN
		S: * ESEARCH (TAG "c5" MAILBOX INBOX UIDVALIDITY 5) UID COUNT 3
		S: * ESEARCH (TAG "c4") UID ADDTO (0 3)
		S: * ESEARCH (TAG "c5" MAILBOX lists UIDVALIDITY 6) UID COUNT 4
		S: c5 OK done
		C: c6 SEARCH RETURN (UPDATE (UID FLAGS)) ALL
		S: c6 OK done
		`)
	unseen := imap.SearchProgram{Key: imap.SearchKey{Op: imap.SearchNotFlag, Flag: imap.FlagSeen}}
	res, err := c.Sort(ctxbg, Seq, []imap.SortCriterion{{Key: imap.SortDate, Reverse: true}, {Key: imap.SortSubject}}, unseen, SearchOptions{})
	if err != nil || !slices.Equal(res.Nums, []uint32{5, 3, 4}) || res.ModSeq != 7 {
		t.Errorf("got %+v, %v", res, err)
	}
	res, err = c.Sort(ctxbg, UID, []imap.SortCriterion{{Key: imap.SortArrival}}, imap.SearchProgram{Charset: "US-ASCII"}, SearchOptions{Return: imap.SearchReturn{Given: true, Count: true, Update: true}})
	if err != nil || !slices.Equal(res.Nums, []uint32{23, 21, 22}) || res.ESearch == nil || res.Tag != "c2" {
		t.Errorf("got %+v, %v", res, err)
	}
	threads, _, err := c.Thread(ctxbg, UID, imap.ThreadReferences, imap.SearchProgram{})
	if got, want := fmt.Sprint(threads), "[{2 []} {3 [{6 [{4 [{23 []}]} {44 [{7 [{96 []}]}]}]}]} {0 [{8 []} {9 []}]}]"; err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	if _, err := c.CancelUpdate(ctxbg, "c2", "c3"); err != nil {
		t.Error(err)
	}
	l, _, err := c.ESearch(ctxbg, []SearchSource{{Filter: NotifyPersonal}, {Filter: NotifySubtreeOne, Mailboxes: []string{"Inbox", "lists"}}}, unseen, SearchOptions{Return: imap.SearchReturn{Given: true, Count: true}})
	if err != nil || len(l) != 2 || l[0].Mailbox.Value != "Inbox" || l[1].Count.Value != 4 {
		t.Errorf("got %+v, %v", l, err)
	}
	items := []imap.FetchItem{{Attr: imap.FetchUID}, {Attr: imap.FetchFlags}}
	if _, err := c.Search(ctxbg, Seq, imap.SearchProgram{}, SearchOptions{Return: imap.SearchReturn{Given: true, Update: true, UpdateItems: items}}); err != nil {
		t.Error(err)
	}
}

func TestUpdatesOfResults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		before  string
		updates string
		want    string // Empty for an error.
	}{
		// The examples of RFC 5267 §4.3.3.
		{"2734 2735", "ADDTO (1 2733 1 2732 1 2731)", "2731 2732 2733 2734 2735"},
		{"2734 2735", "ADDTO (1 2733) ADDTO (1 2731:2732)", "2731 2732 2733 2734 2735"},
		{"2734 2735", "ADDTO (1 2731:2733)", "2731 2732 2733 2734 2735"},
		{"5 9", "ADDTO (0 7,3)", "3 5 7 9"},
		{"5 9 7", "REMOVEFROM (0 9)", "5 7"},
		{"5 9 7", "REMOVEFROM (2 9,7) ADDTO (2 1)", "5 1"},
		{"5", "ADDTO (2 1)", "5 1"},
		{"5", "ADDTO (3 1)", ""},
		{"5 9", "REMOVEFROM (1 9)", ""},
		{"5 9", "REMOVEFROM (2 9,7)", ""},
		{"5", "ADDTO (1 1:4294967295,1:4294967295)", "5"},
	} {
		rep, err := parse(t, `* ESEARCH (TAG "a") UID `+tt.updates+"\r\n", false)
		if err != nil {
			t.Errorf("%s: %v", tt.updates, err)
			continue
		}
		var list []uint32
		for w := range strings.FieldsSeq(tt.before) {
			var n uint32
			fmt.Sscan(w, &n)
			list = append(list, n)
		}
		s := rep.untagged.(ESearch)
		got, err := s.Update(list)
		if g := strings.Trim(fmt.Sprint(got), "[]"); g != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s, %s: got %s, %v, want %s", tt.before, tt.updates, g, err, tt.want)
		}
	}
	for _, bad := range []string{"ESEARCH ADDTO ()", "ESEARCH ADDTO (1)", "ESEARCH ADDTO 1", "ESEARCH REMOVEFROM (1 *)", "THREAD ", "THREAD 1", "THREAD ()", "THREAD (1)2", "THREAD (0)", "THREAD (1 (2)", "THREAD (1 2)(", "THREAD " + strings.Repeat("(", maxThreadDepth+2)} {
		if rep, err := parse(t, "* "+bad+"\r\n", false); err == nil {
			t.Errorf("%.30s: got %v", bad, rep.untagged)
		}
	}
}
