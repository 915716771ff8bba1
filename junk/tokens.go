package junk

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Tokens are the features of one message, each once: words and pairs of words,
// addresses and hosts, and signs of how the message is built. They are made once by
// [Read] and serve for all accounts that the message goes to. They are not changed
// after that, and safe for concurrent use.
type Tokens struct {
	text []byte // Texts of the tokens, which point into it.
	list []token
	org  string // Organisational domain of the sender, empty if unknown.
}

// A kind is a family of tokens.
type kind uint8

const (
	kindWord   kind = iota // Words of the text, also with the part they are from.
	kindPair               // Two words that follow one another.
	kindSkip               // Two words with one between them.
	kindHead               // Of header fields.
	kindLink               // Hosts and the like of URLs.
	kindSign               // How the message is built.
	kindFooter             // Words that a mailing list has added.
)

// A token is a feature. Its hash is what is stored; the text is for people.
type token struct {
	hash      uint64
	off, off2 uint32 // Of the word, and for pairs of the second one.
	len, len2 uint8
	kind      kind
}

// Len returns the number of tokens.
func (t *Tokens) Len() int { return len(t.list) }

// Text returns token i for people: a word, "one two" for a pair, and for others a
// prefix, a colon and a text.
func (t *Tokens) Text(i int) string { return t.textOf(t.list[i]) }

func (t *Tokens) textOf(k token) string {
	s := string(t.text[k.off : k.off+uint32(k.len)])
	if k.kind == kindPair {
		return s + " " + string(t.text[k.off2:k.off2+uint32(k.len2)])
	}
	return s
}

// Sender returns the organisational domain of the address in From, empty if there is
// none.
func (t *Tokens) Sender() string { return t.org }

// A builder collects the tokens of a message.
type builder struct {
	Tokens
	full bool // MaxTokens was reached.
	buf  []byte
}

// add adds a token with a prefix, and returns it for pairs.
func (b *builder) add(k kind, prefix string, word []byte) token {
	if len(b.list) >= MaxTokens {
		b.full = true
		return token{}
	}
	off := len(b.text)
	b.text = append(b.text, prefix...)
	if over := len(prefix) + len(word) - 255; over > 0 {
		word = word[:len(word)-over]
		for len(word) > 0 && !utf8.Valid(word[max(0, len(word)-utf8.UTFMax):]) && !utf8.RuneStart(word[len(word)-1]) {
			word = word[:len(word)-1]
		}
	}
	b.text = append(b.text, word...)
	t := token{hash: hashText(b.text[off:]), off: uint32(off), len: uint8(len(b.text) - off), kind: k}
	b.list = append(b.list, t)
	return t
}

func (b *builder) addString(k kind, prefix, word string) {
	b.buf = append(b.buf[:0], word...)
	b.add(k, prefix, b.buf)
}

// sign adds a sign of how the message is built.
func (b *builder) sign(name string) { b.addString(kindSign, "sign:", name) }

// pair adds a pair of tokens that were added before.
func (b *builder) pair(first, second token) {
	if len(b.list) >= MaxTokens {
		b.full = true
		return
	}
	b.list = append(b.list, token{
		hash: hashPair(first.hash, second.hash),
		off:  first.off, len: first.len, off2: second.off, len2: second.len, kind: kindPair,
	})
}

// finish sorts the tokens and takes those together that are the same.
func (b *builder) finish() *Tokens {
	slices.SortFunc(b.list, func(x, y token) int { return cmp.Or(cmp.Compare(x.hash, y.hash), cmp.Compare(x.off, y.off)) })
	out := b.list[:0]
	for _, t := range b.list {
		if n := len(out); n > 0 && out[n-1].hash == t.hash {
			continue
		}
		out = append(out, t)
	}
	t := b.Tokens
	t.list = slices.Clip(out)
	t.text = slices.Clip(t.text)
	return &t
}

// hashText returns the key under which a token is stored: FNV-1a, its bits mixed so
// that all of them depend on all of the text.
func hashText(text []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range text {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return mix(h)
}

// hashPair returns the key of a pair of tokens.
func hashPair(first, second uint64) uint64 {
	return mix(first*3 + second*5 + 1)
}

// mix is the finalizer of SplitMix64.
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// String returns the texts of all tokens, one a line, in the order of their text.
func (t *Tokens) String() string {
	l := make([]string, 0, len(t.list))
	for _, k := range t.list {
		l = append(l, t.textOf(k))
	}
	slices.Sort(l)
	return strings.Join(l, "\n")
}
