package queue

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"mox/internal/safefile"
	"mox/mlog"
	"mox/queue/queuedb"
)

// sink is a transport that takes all at once.
type sink struct {
	left atomic.Int64
	done chan struct{}
}

func (*sink) Name() string { return "sink" }

func (s *sink) Deliver(_ context.Context, d Delivery) []Result {
	if _, err := io.Copy(io.Discard, io.NewSectionReader(d.Content, 0, d.Content.Size())); err != nil {
		return allFailed(d, err)
	}
	if s.left.Add(-int64(len(d.Messages))) == 0 {
		close(s.done)
	}
	return make([]Result, len(d.Messages))
}

// BenchmarkDrain delivers a queue that is full of messages of 4 KB with one recipient
// to a transport that takes no time, with all on stable storage. An operation is one
// message; run it with -benchtime 20000x, for instance.
func BenchmarkDrain(b *testing.B) {
	for _, domains := range []int{1, 1000} {
		b.Run(fmt.Sprintf("domains=%d", domains), func(b *testing.B) {
			dir := b.TempDir()
			db, err := queuedb.Open(ctxbg, queuedb.Options{Dir: dir, Log: mlog.Discard(), AccountMessages: -1, JumpFloor: -1})
			tcheck(b, err)
			defer db.Close()
			s := &sink{done: make(chan struct{})}
			n := b.N
			s.left.Store(int64(n))
			fillQueue(b, db, dir, n, domains)
			q := New(Options{DB: db, Config: testConfig(b, dir), Transports: map[string]Transport{"": s}})
			b.ResetTimer()
			ran := make(chan error)
			go func() { ran <- q.Run(ctxbg) }()
			<-s.done
			tcheck(b, q.Shutdown(ctxbg))
			b.StopTimer()
			tcheck(b, <-ran)
			if st, err := db.Status(ctxbg); err != nil || st.Messages != 0 {
				b.Fatalf("left %d messages, %v", st.Messages, err)
			}
		})
	}
}

// fillQueue queues n messages from several senders at the same time.
func fillQueue(b *testing.B, db *queuedb.DB, dir string, n, domains int) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	text := make([]byte, 4000)
	for i := range text {
		text[i] = 'x'
	}
	for range 32 {
		wg.Go(func() {
			spool := safefile.NewSpool(safefile.SpoolOptions{Dir: dir})
			defer spool.Close()
			if _, err := spool.Write(append([]byte("Subject: hi\r\n\r\n"), text...)); err != nil {
				b.Error(err)
				return
			}
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				_, err := db.Enqueue(ctxbg, queuedb.Submission{
					Account: fmt.Sprint("acc", i%50), Spool: spool,
					Recipients: []queuedb.Recipient{{Sender: path(b, "ann@example.org"), To: path(b, fmt.Sprintf("a%d@d%d.example", i, i%domains))}},
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
