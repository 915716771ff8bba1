package search

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sort"
	"unicode/utf8"

	"mox/internal/search/textindex"
	"mox/message"
)

// textKey says which text of messages a text column has: that of an operation that is asked
// of the digest, or a header field, in lower case, or more of them, see Data.
type textKey struct {
	op    opcode
	field string
}

// Octets that texts, which are valid UTF-8, do not have.
const (
	valueMark = 0xfe // Before each value of a header field.
	rowMark   = 0xff // After each row.
)

// textColumn has a text of each row of a table, decoded and folded, so that all of them can
// be searched at once.
type textColumn struct {
	text []byte
	ends []uint32 // Of each row, with its mark.
	open []bool   // Rows of which the text is not known, or not all of it.
}

// endRow ends a row whose text was appended.
func (c *textColumn) endRow(open bool) {
	c.text = append(c.text, rowMark)
	c.ends, c.open = append(c.ends, uint32(len(c.text))), append(c.open, open)
}

// row returns the text of a row, without its mark.
func (c *textColumn) row(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = c.ends[i-1]
	}
	return c.text[start : c.ends[i]-1]
}

func (c *textColumn) size() int64 { return int64(len(c.text)) + 5*int64(len(c.ends)) }

// addDigest adds the row of a message from its digest, open if that does not have it all.
func (c *textColumn) addDigest(key textKey, d message.Digest) {
	open := false
	switch key.op {
	case opSent:
		if day, ok := d.SentDay(); ok {
			c.text = binary.BigEndian.AppendUint32(c.text, uint32(day))
		}
	case opHeader:
		name := []byte(key.field)
		if open = !d.HasField(name); !open {
			c.text = appendValues(c.text, d, name)
		}
	case opStructure, opFields:
		c.text, open = appendData(c.text, key, d)
	default:
		c.text = append(c.text, searchText(key.op, d)...)
		open = d.SearchCut()
	}
	c.endRow(open)
}

// appendValues appends the decoded and folded values of a field that the digest has.
func appendValues(dst []byte, d message.Digest, name []byte) []byte {
	var buf [512]byte
	lines := d.FilterFields(buf[:0], [][]byte{name}, false)
	if len(lines) <= 2 {
		return dst // Not more than the line that ends a header.
	}
	if !isPlain(lines) || bytes.IndexByte(lines, 0x7f) >= 0 {
		h := message.ParseHeader(lines, message.Limits{})
		for f := range h.All(string(name)) {
			dst = message.AppendFold(append(dst, valueMark), []byte(message.DecodeText(f.Unfolded())))
		}
		return dst
	}
	for line := range bytes.Lines(lines) {
		if _, value, ok := bytes.Cut(line, []byte(":")); ok {
			dst = message.AppendFold(append(dst, valueMark), bytes.Trim(value, " \t\r\n"))
		}
	}
	return dst
}

// extend is column.extend for texts.
func (c *textColumn) extend(rows int, places, addedPlaces []int, added *textColumn) *textColumn {
	n := &textColumn{text: make([]byte, 0, len(c.text)+len(added.text)), ends: make([]uint32, 0, rows), open: make([]bool, 0, rows)}
	if len(places) == 0 || places[len(places)-1] == len(places)-1 { // Mostly messages come last.
		n.append(c)
		n.append(added)
		return n
	}
	for i, j := 0, 0; i < len(places) || j < len(addedPlaces); {
		from, row := c, i
		if i == len(places) || j < len(addedPlaces) && addedPlaces[j] < places[i] {
			from, row = added, j
			j++
		} else {
			i++
		}
		n.text = append(n.text, from.row(row)...)
		n.endRow(from.open[row])
	}
	return n
}

// addValues fills rows that are open, as digests do not have the field, from the text index.
func (c *textColumn) addValues(ctx context.Context, texts *textindex.Reader, key textKey, ids []int64) error {
	if key.op != opHeader || texts == nil {
		return nil
	}
	var missing []int64
	for row, open := range c.open {
		if open {
			missing = append(missing, ids[row])
		}
	}
	if len(missing) == 0 {
		return nil
	}
	added := make([][]byte, len(missing))
	err := texts.Values(ctx, missing, []byte(key.field), func(i int, values [][]byte) {
		added[i] = []byte{}
		for _, v := range values {
			added[i] = append(append(added[i], valueMark), v...)
		}
	})
	if err != nil {
		texts.Failed(ctx, err)
		return ctx.Err()
	}
	n := textColumn{}
	for row, i := 0, 0; row < len(c.ends); row++ {
		open := c.open[row]
		if open {
			n.text = append(n.text, added[i]...)
			open = added[i] == nil
			i++
		} else {
			n.text = append(n.text, c.row(row)...)
		}
		n.endRow(open)
	}
	*c = n
	return nil
}

// append appends the rows of another column.
func (c *textColumn) append(o *textColumn) {
	n := uint32(len(c.text))
	for _, end := range o.ends {
		c.ends = append(c.ends, n+end)
	}
	c.text, c.open = append(c.text, o.text...), append(c.open, o.open...)
}

// verdicts returns what the rows say of a condition.
func (c *textColumn) verdicts(n *node) []verdict {
	l := make([]verdict, len(c.ends))
	for i, open := range c.open {
		if !open {
			l[i] = no
		}
	}
	if n.op == opSent {
		for i := range l {
			if day := c.row(i); len(day) == 4 {
				l[i] = n.days.has(int(int32(binary.BigEndian.Uint32(day))))
			}
		}
		return l
	}
	pattern := n.folded
	if len(pattern) == 0 {
		pattern = []byte{valueMark} // Whether there is a field.
	}
	row := 0
	for at := 0; ; at = int(c.ends[row]) {
		i := bytes.Index(c.text[at:], pattern)
		if i < 0 {
			return l
		}
		at += i
		// Mostly the next row, or one far away.
		for tries := 0; int(c.ends[row]) <= at; tries++ {
			if row++; tries == 8 {
				row += sort.Search(len(c.ends)-row, func(i int) bool { return int(c.ends[row+i]) > at })
			}
		}
		l[row] = yes
	}
}

// keyOf returns the column that decides on a condition, if there can be one.
func keyOf(n *node) (key textKey, ok bool) {
	switch n.op {
	case opFrom, opTo, opCc, opBcc, opSubject, opSent:
		return textKey{op: n.op}, true
	case opHeader:
		return textKey{opHeader, string(n.field)}, n.indexable()
	}
	return key, false
}

// indexable reports whether the values of the header field are the same wherever they are
// read: it has no parameters, and the name is one that a field can have.
func (n *node) indexable() bool {
	for _, c := range n.field {
		if c <= ' ' || c >= utf8.RuneSelf-1 || c == ':' {
			return false
		}
	}
	return len(n.field) > 0 && !isMIME(n.field)
}

const (
	// sampleStep is of how many messages one is looked at to see how many conditions on
	// texts are asked of.
	sampleStep = 64

	// maxTextColumns is how many of them one search uses.
	maxTextColumns = 8
)

// errTooMuchText is for a column that does not fit into memory that is meant for it.
var errTooMuchText = errors.New("too much text for a column")

// startColumns decides conditions on texts for all messages together, if they are asked of
// many.
func (r *run) startColumns() error {
	if r.opts.Keys == nil || len(r.leaves) == 0 {
		return nil
	}
	asked, sampled, all := 0, 0, 0
	for pos := range r.positions(false) {
		if all++; all%sampleStep != 1 {
			continue
		}
		sampled++
		m := r.subject(&candidate{pos: pos})
		if m.eval(&r.root) == unknown {
			asked++
		}
	}
	if asked == 0 || asked*all/sampled < r.index.Len()/few {
		return nil
	}
	var n needs
	for _, leaf := range r.leaves {
		if key, ok := keyOf(leaf); ok && len(n.texts) < maxTextColumns && !slices.Contains(n.texts, key) {
			n.texts = append(n.texts, key)
		}
	}
	if len(n.texts) == 0 {
		return nil
	}
	mb := r.opts.Mailbox
	mb.Index = r.index
	t, rows, err := r.opts.Keys.texts(r.ctx, mb, n, r.opts.Limited)
	if t == nil || errors.Is(err, errTooMuchText) {
		return nil
	} else if err != nil {
		return err
	}
	r.columns = make([][]verdict, len(r.leaves))
	for i, leaf := range r.leaves {
		key, ok := keyOf(leaf)
		c := t.texts[key]
		if !ok || c == nil {
			continue
		}
		byRow := c.verdicts(leaf)
		if r.columns[i] = byRow; len(byRow) == r.index.Len() {
			continue // Rows are the positions.
		}
		r.columns[i] = make([]verdict, len(rows))
		for pos, row := range rows {
			r.columns[i][pos] = byRow[row]
		}
	}
	return nil
}

// texts returns a table that has texts of all messages of a mailbox, and which rows they
// are. It is nil if they are not known and are not to be read.
func (k *Keys) texts(ctx context.Context, mb Mailbox, n needs, known bool) (*table, []int, error) {
	s := k.slot(mb.slotKey())
	s.mu.Lock()
	missing := !s.table.has(n)
	refused := slices.ContainsFunc(n.texts, func(key textKey) bool { return s.refused[key] })
	s.mu.Unlock()
	if missing && (known || refused) {
		return nil, nil, nil
	}
	all := make([]int, mb.Index.Len())
	for i := range all {
		all[i] = i
	}
	t, rows, err := k.get(ctx, mb, all, n)
	if errors.Is(err, errTooMuchText) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.refused == nil {
			s.refused = map[textKey]bool{}
		}
		for _, key := range n.texts {
			s.refused[key] = true
		}
	}
	return t, rows, err
}
