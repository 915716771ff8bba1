package fts

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// The fields of a text are first those of the message, a line each, "name: value", and
// after a [Separator] those of its parts.

// eachValue calls fn for the values of a field of the message, whose name is folded, until
// it returns false.
func eachValue(fields, name []byte, fn func(value []byte) bool) {
	if end := bytes.IndexByte(fields, Separator); end >= 0 {
		fields = fields[:end]
	}
	for len(fields) > 0 {
		var line []byte
		line, fields, _ = bytes.Cut(fields, []byte("\n"))
		if value, ok := cutField(line, name); ok && !fn(value) {
			return
		}
	}
}

// cutField returns the value of a line if it is that of a field.
func cutField(line, name []byte) (value []byte, ok bool) {
	if len(line) < len(name)+2 || !bytes.Equal(line[:len(name)], name) || line[len(name)] != ':' || line[len(name)+1] != ' ' {
		return nil, false
	}
	return line[len(name)+2:], true
}

// trigrams returns trigrams that a text with the pattern has.
func (p *Pattern) trigrams() []uint32 {
	l := patternTrigrams(p.Text)
	if len(p.Field) > 0 {
		l = append(l, patternTrigrams(slices.Concat(p.Field, []byte(": ")))...)
	}
	return l
}

// in reports whether the pattern is in a text.
func (p *Pattern) in(body, fields []byte) (found bool) {
	if len(p.Field) == 0 {
		return bytes.Contains(body, p.Text) || !p.BodyOnly && bytes.Contains(fields, p.Text)
	}
	eachValue(fields, p.Field, func(value []byte) bool {
		found = bytes.Contains(value, p.Text)
		return !found
	})
	return found
}

// Values calls fn for each of the ids, in ascending order, whose text the index has, with
// the index of the id and the folded values of a header field of the message, decoded. The
// name is folded. What fn is given is valid until it returns.
func (x *Index) Values(ctx context.Context, ids []int64, name []byte, fn func(i int, values [][]byte)) error {
	order := make([]int, len(ids))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(ids[a], ids[b]) })
	var values [][]byte
	return x.eachText(ctx, order, ids, func(i int, d *blockDoc, text []byte) {
		values = values[:0]
		end := d.start + d.body
		eachValue(text[end:end+d.fields], name, func(value []byte) bool {
			values = append(values, value)
			return true
		})
		fn(i, values)
	})
}

// eachText calls fn for the messages that the index has the text of: with the block of it,
// and what has been unpacked of that. The order is that of ids.
func (x *Index) eachText(ctx context.Context, order []int, ids []int64, fn func(i int, d *blockDoc, text []byte)) error {
	return x.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketTexts).Cursor()
		var b block
		var text []byte
		unpacked := false
		for _, i := range order {
			id := ids[i]
			if len(b.docs) == 0 || id > b.docs[len(b.docs)-1].id {
				if err := ctx.Err(); err != nil {
					return err
				}
				k, v := seekText(c, id)
				if k == nil {
					return nil
				}
				if err := parseBlock(&b, k, v); err != nil {
					return err
				}
				unpacked = false
			}
			j, ok := slices.BinarySearchFunc(b.docs, id, func(d blockDoc, id int64) int { return cmp.Compare(d.id, id) })
			if !ok {
				continue // Gone, or skipped.
			}
			if !unpacked {
				var err error
				if text, err = x.unpack(&b, text); err != nil {
					return err
				}
				unpacked = true
			}
			fn(i, &b.docs[j], text)
		}
		return nil
	})
}
