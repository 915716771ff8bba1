package edit

import (
	"slices"
	"strconv"
	"strings"
)

// A Path leads to a field of a struct, an entry of a map or an item of a list, from the
// top of a file.
type Path []Step

// Step is one element of a [Path].
type Step struct {
	key   string
	index int // Of an item, -1 for a key.
}

// At returns the path of names of fields and keys of maps.
func At(keys ...string) Path {
	var p Path
	for _, k := range keys {
		p = append(p, Step{k, -1})
	}
	return p
}

// Key returns the path of fields and entries in what p leads to.
func (p Path) Key(keys ...string) Path {
	return slices.Concat(p, At(keys...))
}

// Item returns the path of an item, from 0, in the list that p leads to.
func (p Path) Item(i int) Path {
	return slices.Concat(p, Path{{"", max(i, 0)}})
}

// String returns the path as in errors about a configuration, "Listeners.public.IPs[0]".
func (p Path) String() string {
	var b strings.Builder
	for _, s := range p {
		switch {
		case s.index >= 0:
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		case b.Len() > 0:
			b.WriteString("." + s.key)
		default:
			b.WriteString(s.key)
		}
	}
	return b.String()
}
