package imapclient

import (
	"context"

	"mox/imap"
	"mox/imap/wire"
)

// Threads is a THREAD response. RFC 5256 §4
type Threads []Thread

func (Threads) untagged() {}

// A Thread is a message with those that answer it.
type Thread struct {
	Num      uint32 // 0 for a message that is not there.
	Children []Thread
}

// maxThreadDepth is how deep lists in a THREAD response may nest.
const maxThreadDepth = 10000

// Thread searches the selected mailbox and gets results in threads. The charset is UTF-8 if
// the program has none. RFC 5256 §3
func (c *Client) Thread(ctx context.Context, kind NumKind, algorithm imap.ThreadAlgorithm, program imap.SearchProgram) (Threads, *Response, error) {
	resp, err := c.do(ctx, kind.command("THREAD"), func(e *wire.Encoder) {
		e.SP()
		e.Raw(string(algorithm))
		e.SP()
		e.SearchCriteria(&program)
	})
	var l Threads
	for _, u := range resp.Untagged {
		if t, ok := u.(Threads); ok {
			l = append(l, t...)
		}
	}
	return l, resp, err
}

// threads parses what follows THREAD.
//
//	thread-data = "THREAD" [SP 1*thread-list]
func (p *parser) threads() Threads {
	defer p.In("thread-data")()
	if !p.TrySP() {
		return nil
	}
	return p.threadLists(0)
}

// threadLists parses lists.
//
//	thread-list    = "(" (thread-members / thread-nested) ")"
//	thread-members = nz-number *(SP nz-number) [SP thread-nested]
//	thread-nested  = 2*thread-list
func (p *parser) threadLists(depth int) (l []Thread) {
	if depth > maxThreadDepth {
		p.Fail("threads nested too deep")
		return nil
	}
	for first := true; first || p.PeekIs('('); first = false {
		p.NeedByte('(')
		var t Thread
		at := &t
		if p.PeekIs('(') {
			t.Children = p.threadLists(depth + 1)
		} else {
			t.Num = p.NeedNZNumber()
			for p.TrySP() {
				if p.PeekIs('(') {
					at.Children = p.threadLists(depth + 1)
					break
				}
				at.Children = []Thread{{Num: p.NeedNZNumber()}}
				at = &at.Children[0]
			}
		}
		p.NeedByte(')')
		l = append(l, t)
	}
	return l
}
