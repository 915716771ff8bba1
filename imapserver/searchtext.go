package imapserver

import (
	"context"

	"mox/internal/search/textindex"
)

// texts returns the text index of the account, nil if messages must be read.
func (s *session) texts(ctx context.Context) *textindex.Reader {
	if s.c.srv.opts.Texts == nil {
		return nil
	}
	return s.c.srv.opts.Texts.Reader(ctx, s.account)
}
