package config

import (
	"fmt"
	"iter"
	"strings"
)

// outline knows on which line of an sconf file each field stands. The parser of
// sconf does not tell, and an error about a value is of no use without it. It
// looks at indentation, keys and list dashes only, so it can also be made of a
// file that sconf refuses.
type outline struct {
	byField map[string]int // Line of a field, from 1.
	byLine  []outlineEntry // By line-1.
}

// outlineEntry is a line of the file.
type outlineEntry struct {
	content bool // Neither empty nor a comment.
	depth   int  // Number of leading tabs.
	field   string
	open    bool // No value after the colon or dash: nested lines should follow.
}

// maxOutlineDepth is how deep lines are nested before they count as malformed.
// The deepest field of our files is at 4.
const maxOutlineDepth = 16

// parseOutline never fails: lines that make no sense belong to the field that they
// stand under.
func parseOutline(data []byte) *outline {
	o := &outline{byField: map[string]int{}}
	var fields [maxOutlineDepth + 1]string // Prefix for children at each depth.
	var items [maxOutlineDepth + 1]int     // Next list index at each depth.
	for i, line := range strings.Split(string(data), "\n") {
		text := strings.TrimLeft(line, "\t")
		depth := min(len(line)-len(text), maxOutlineDepth)
		if t := strings.TrimSpace(line); t == "" || strings.HasPrefix(t, "#") {
			o.byLine = append(o.byLine, outlineEntry{})
			continue
		}
		parent := fields[depth]
		var field, value string
		if rest, ok := strings.CutPrefix(text, "-"); ok && (rest == "" || rest[0] == ' ') {
			field = fmt.Sprintf("%s[%d]", parent, items[depth])
			items[depth]++
			value = rest
		} else {
			var key string
			key, value, _ = strings.Cut(text, ":")
			field = join(parent, key)
		}
		if depth < maxOutlineDepth {
			fields[depth+1] = field
			items[depth+1] = 0
		}
		if _, ok := o.byField[field]; !ok {
			o.byField[field] = i + 1
		}
		o.byLine = append(o.byLine, outlineEntry{true, depth, field, strings.TrimSpace(value) == ""})
	}
	return o
}

// join returns the name of a field in another one.
func join(parent, key string) string {
	if parent == "" {
		return key
	}
	return parent + "." + key
}

// line returns the line of a field, or of the nearest field around it that is in
// the file, or 0.
func (o *outline) line(field string) int {
	if o == nil {
		return 0
	}
	for field != "" {
		if n, ok := o.byField[field]; ok {
			return n
		}
		field = field[:max(strings.LastIndexAny(field, ".["), 0)]
	}
	return 0
}

// at returns the entry for a line; lines that do not exist have no content.
func (o *outline) at(line int) outlineEntry {
	if line < 1 || line > len(o.byLine) {
		return outlineEntry{}
	}
	return o.byLine[line-1]
}

// previous returns the last line before line that has content, or 0.
func (o *outline) previous(line int) int {
	for line--; line > 0 && !o.at(line).content; line-- {
	}
	return max(line, 0)
}

// nested iterates over a line and all lines with content nested under it. There
// are none for a line without content.
func (o *outline) nested(line int) iter.Seq[int] {
	return func(yield func(int) bool) {
		first := o.at(line)
		if !first.content || !yield(line) {
			return
		}
		for n := line + 1; n <= len(o.byLine); n++ {
			e := o.at(n)
			if !e.content {
				continue
			}
			if e.depth <= first.depth || !yield(n) {
				return
			}
		}
	}
}

// parent returns the line that a line is nested under, or 0.
func (o *outline) parent(line int) int {
	depth := o.at(line).depth
	for n := o.previous(line); n > 0; n = o.previous(n) {
		if o.at(n).depth < depth {
			return n
		}
	}
	return 0
}
