package search

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mox/message"
)

// Data has something of all messages of a mailbox, as FETCH sends it.
type Data struct {
	column *textColumn
	rows   []int
}

// At returns that of the message at a position. It is false if the message must be asked.
func (d *Data) At(pos int) ([]byte, bool) {
	row := d.rows[pos]
	return d.column.row(row), !d.column.open[row]
}

// maxDataRows is for how many messages columns of data are made at most: those of more
// would not fit.
const maxDataRows = 1 << 17

// fieldMark is in front of each name in the key of a column of header fields. Names that
// have it themselves have no columns.
const fieldMark = "+"

// BodyStructures returns the BODYSTRUCTURE of all messages, as Digest has it. It is nil when
// that is not in memory or in a file: it will be made when it is asked for again, which
// those who read a mailbox once do not.
func (k *Keys) BodyStructures(ctx context.Context, mb Mailbox) (*Data, error) {
	return k.data(ctx, mb, textKey{op: opStructure})
}

// HeaderFields is BodyStructures for the lines of some header fields, as
// Digest.FilterFields returns them.
func (k *Keys) HeaderFields(ctx context.Context, mb Mailbox, names []string) (*Data, error) {
	var l []string
	for _, name := range names {
		if name == "" || strings.Contains(name, fieldMark) {
			return nil, nil
		}
		l = append(l, fieldMark+strings.ToLower(name))
	}
	slices.Sort(l)
	return k.data(ctx, mb, textKey{opFields, strings.Join(slices.Compact(l), "")})
}

func (k *Keys) data(ctx context.Context, mb Mailbox, key textKey) (*Data, error) {
	if n := mb.Index.Len(); n < savedRows || n > maxDataRows || key.op == opFields && key.savedName() == "" {
		return nil, nil
	}
	known := k.firstAsked(mb, key)
	if known {
		_, err := os.Stat(filepath.Join(mb.Owner.ColumnsDir(), savedName(mb.Index, key.savedName())))
		known = err != nil
	}
	t, rows, err := k.texts(ctx, mb, needs{texts: []textKey{key}}, known)
	if errors.Is(err, errTooMuchText) {
		return nil, nil
	} else if t == nil || err != nil {
		return nil, err
	}
	return &Data{t.texts[key], rows}, nil
}

// firstAsked reports whether a column was not asked for before, and notes that it was.
func (k *Keys) firstAsked(mb Mailbox, key textKey) bool {
	s := k.slot(mb.slotKey())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked[key] {
		return false
	}
	if s.asked == nil || len(s.asked) > maxAsked {
		s.asked = map[textKey]bool{}
	}
	s.asked[key] = true
	return true
}

// maxAsked is how many columns are remembered to have been asked for, of a mailbox.
const maxAsked = 100

// appendData appends what a column of data has of a message. It is open if the digest does
// not have it.
func appendData(dst []byte, key textKey, d message.Digest) (data []byte, open bool) {
	if key.op == opStructure {
		b := d.BodyStructure()
		return append(dst, b...), len(b) == 0
	}
	var names [maxSavedField][]byte
	l := names[:0]
	for name := range strings.SplitSeq(key.field[len(fieldMark):], fieldMark) {
		l = append(l, []byte(name))
		if !d.HasField(l[len(l)-1]) {
			return dst, true
		}
	}
	return d.FilterFields(dst, l, false), false
}
