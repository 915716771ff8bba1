package search

import (
	"mox/internal/fts"
)

// startTexts asks the text index which messages may have the texts that are looked for.
func (r *run) startTexts() {
	if len(r.patterns) == 0 || r.opts.Texts == nil {
		return
	}
	r.texts = r.opts.Texts.Search(r.ctx, r.patterns)
}

// match looks at the texts of the messages that are left, as far as the index has them.
func (r *run) match() error {
	n := len(r.patterns)
	found := make([]fts.Answer, len(r.ids)*n)
	if err := r.texts.Match(r.ctx, r.ids, found); err != nil {
		// Files have the same texts.
		r.opts.Texts.Failed(r.ctx, err)
		r.texts = nil
		return r.ctx.Err()
	}
	for i, at := range r.at {
		c := &r.batch[at]
		c.found = found[i*n : (i+1)*n]
		m := r.subject(c)
		c.result = m.eval(&r.root)
	}
	return nil
}

// evalNeedle evaluates BODY and TEXT from the text index, or from the file.
func (m *subject) evalNeedle(i int) verdict {
	if m.found != nil && m.found[i] != fts.Unknown {
		return verdictOf(m.found[i] == fts.Yes)
	}
	if m.file != nil {
		return m.file.needles[i]
	}
	if m.texts != nil && m.texts.May(i, m.entry.ContentID) == fts.No {
		return no
	}
	return unknown
}
