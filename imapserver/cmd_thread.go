package imapserver

import (
	"context"
	"strconv"

	"mox/imap"
	"mox/imap/wire"
	"mox/internal/search"
)

// THREAD, UID THREAD. RFC 5256 §3

// threadRequest has the arguments of THREAD.
type threadRequest struct {
	searchRequest
	algorithm imap.ThreadAlgorithm
}

// parseThread parses algorithm, charset and keys.
//
//	thread = "THREAD" SP thread-alg SP search-criteria
func parseThread(d *wire.Decoder) *threadRequest {
	req := &threadRequest{}
	d.NeedSP()
	req.algorithm = d.NeedThreadAlgorithm()
	d.NeedSP()
	req.setProgram(d.NeedSearchCriteria())
	return req
}

func runThread(ctx context.Context, s *selected, req *threadRequest) (reply, error) {
	if err := s.checkProgram(&req.program, true); err != nil {
		return reply{}, err
	}
	if req.modSeq {
		s.enableCondStore()
	}
	res, err := s.searchSelected(ctx, &req.searchRequest)
	if err != nil {
		return reply{}, err
	}
	var threads search.Threads
	err = s.c.working(func() error {
		threads, err = s.c.srv.keys.Thread(ctx, s.searchMailbox(res), res.all, req.algorithm)
		return err
	})
	if err != nil {
		return reply{}, err
	}
	s.writeThreads(res, threads, req.uid)
	return reply{keepsSeqs: req.program.Key.UsesSeqs()}, nil
}

// writeThreads writes a THREAD response. RFC 5256 §4
//
//	thread-data    = "THREAD" [SP 1*thread-list]
//	thread-list    = "(" (thread-members / thread-nested) ")"
//	thread-members = nz-number *(SP nz-number) [SP thread-nested]
//	thread-nested  = 2*thread-list
func (s *selected) writeThreads(res searchResult, threads search.Threads, uid bool) {
	line := append(make([]byte, 0, 4096), "* THREAD"...)
	if len(threads) > 0 {
		line = append(line, ' ')
	}
	number := false // The word before is one.
	for _, word := range threads {
		if len(line) > cap(line)-16 {
			s.c.enc.RawBytes(line)
			line = line[:0]
		}
		if number && word != search.Close {
			line = append(line, ' ')
		}
		number = word >= 0
		switch word {
		case search.Open:
			line = append(line, '(')
		case search.Close:
			line = append(line, ')')
		default:
			line = strconv.AppendUint(line, uint64(res.number(int(word), uid)), 10)
		}
	}
	s.c.enc.RawBytes(append(line, "\r\n"...))
}
