package message

import (
	"bytes"
	"io"
)

// Parse reads the structure of a message of size bytes, once and from the beginning
// to the end. It fails only when reading fails.
func Parse(r io.ReaderAt, size int64, limits Limits) (*Part, error) {
	p := newParser(r, size, limits)
	err := p.run()
	return p.root, err
}

// parser builds the tree. It keeps the parts that are open on its own stack: the
// message, the part of it that is being read, and so on to the innermost.
type parser struct {
	window
	limits   Limits
	metadata int // Bytes that may still be kept of part headers.
	parts    int
	bounds   boundaries
	stack    []frame

	root   *Part
	header Header // Of the root.
	raw    []byte // Memory for the headers of other parts.
	fields []Field
}

// frame is a part that is open.
type frame struct {
	part     *Part
	kind     frameKind
	boundary string // Of a multipart that was not closed.
	hidden   int    // What boundaries.push returned.
	// rest says that the limit on parts was reached in this multipart: all that is
	// left of it is one leaf.
	rest     bool
	lf, bare int64 // Totals at the beginning of the body.
}

type frameKind uint8

const (
	frameLeaf frameKind = iota
	frameMultipart
	frameMessage
)

func newParser(r io.ReaderAt, size int64, limits Limits) *parser {
	limits = limits.withDefaults()
	return &parser{
		window:   newWindow(r, max(size, 0)),
		limits:   limits,
		metadata: limits.Metadata,
		root:     &Part{},
		stack:    make([]frame, 0, 8),
	}
}

// run reads one entity after another until the end of the message.
func (p *parser) run() error {
	p.parts = 1
	for part, message, ok := p.root, true, true; ok; {
		part, message, ok = p.entity(part, message)
	}
	return p.err
}

// entity reads a part from the beginning of its header, as far as it belongs to no
// other part: all of a leaf, the part of a multipart up to its first part, the
// header of a part that holds a message. It returns the entity that follows.
func (p *parser) entity(part *Part, message bool) (next *Part, isMessage, ok bool) {
	part.HeaderStart = p.pos
	h := p.readHeader()
	part.BodyStart = p.pos
	boundary := p.interpret(part, &h, message)
	p.count()
	f := frame{part: part, kind: p.kind(part, boundary), lf: p.lf, bare: p.bare}
	switch f.kind {
	case frameMessage:
		p.stack = append(p.stack, f)
		part.Message = &Part{}
		p.parts++
		return part.Message, true, true
	case frameMultipart:
		f.boundary = boundary
		f.hidden = p.bounds.push(boundary, len(p.stack))
	default:
		p.leafStart(part)
	}
	p.stack = append(p.stack, f)
	return p.follow()
}

// leafStart prepares to take the decoded size of a leaf.
func (p *parser) leafStart(part *Part) {
	if state, ok := part.decodeState(); ok && state.enc != encodingIdentity {
		p.startLeaf(state)
	}
}

// kind says how the body of a part is to be read.
func (p *parser) kind(part *Part, boundary string) frameKind {
	composite := frameLeaf
	switch {
	case part.Type == "MULTIPART" && boundary != "":
		composite = frameMultipart
	case part.Type == "MESSAGE" && (part.Subtype == "RFC822" || part.Subtype == "GLOBAL") &&
		encodingOf(part.Encoding) == encodingIdentity:
		composite = frameMessage
	default:
		return frameLeaf
	}
	if len(p.stack)+1 >= p.limits.Depth || p.parts >= p.limits.Parts {
		part.Flags |= PartCut
		return frameLeaf
	}
	return composite
}

// readHeader reads a header section up to its blank line, to a boundary, to the end
// of the message, or to a line that can only be a boundary of this very part, whose
// blank line is missing.
func (p *parser) readHeader() Header {
	raw := p.raw[:0]
	if len(p.stack) == 0 {
		raw = make([]byte, 0, p.headerLen())
	}
	if raw == nil {
		raw = make([]byte, 0, 1<<10)
	}
	for p.pos < p.size {
		line, whole := p.line()
		blank := whole && len(line) == 0
		if len(line) > 2 && line[0] == '-' && line[1] == '-' {
			if _, _, ok := p.boundary(line); ok {
				break
			}
			if _, ok := parseField(line, 0, len(line)); !ok {
				break
			}
		}
		raw = p.endLine(raw, p.limits.Header)
		if blank {
			break
		}
	}
	h := Header{Raw: raw}
	if len(raw) > p.limits.Header {
		h.Raw, h.Cut = raw[:p.limits.Header], true
	}
	if len(p.stack) == 0 {
		h.split(make([]Field, 0, 32), p.limits.Fields)
		p.header = h
		return h
	}
	h.split(p.fields, p.limits.Fields)
	p.raw, p.fields = raw, h.Fields
	return h
}

// headerLen returns the length of the header at the position, as far as it is in the
// window: the memory that it will need.
func (p *parser) headerLen() int {
	b := p.rest()
	for _, end := range []string{"\r\n\r\n", "\n\n"} {
		if n := bytes.Index(b, []byte(end)); n >= 0 {
			return n + len(end)
		}
	}
	return min(len(b), 4<<10)
}

// boundary says whether a line is a boundary delimiter of an open multipart.
func (p *parser) boundary(line []byte) (level int, closing, ok bool) {
	level, closing, ok = p.bounds.match(line)
	if ok && !closing && p.stack[level].rest {
		return 0, false, false
	}
	return level, closing, ok
}

// follow reads on to the next boundary that begins a part, and begins that part. At
// the end of the message, ok is false.
func (p *parser) follow() (next *Part, isMessage, ok bool) {
	for p.pos < p.size {
		if len(p.bounds.open) == 0 {
			p.skipToEnd()
			break
		}
		line, _ := p.line()
		level, closing, found := p.boundary(line)
		if !found {
			p.nextDashes()
			continue
		}
		p.close(level+1, p.lineEnd())
		p.endLine(nil, 0)
		f := &p.stack[level]
		if closing {
			p.bounds.pop(f.boundary, f.hidden)
			f.boundary = ""
			continue
		}
		if p.parts >= p.limits.Parts {
			p.openRest(f)
			continue
		}
		p.parts++
		sub := &Part{}
		f.part.Parts = append(f.part.Parts, sub)
		return sub, false, true
	}
	p.close(0, 0)
	return nil, false, false
}

// skipToEnd moves to the end of the message through the window.
func (p *parser) skipToEnd() {
	for p.pos < p.size {
		p.pos += int64(len(p.rest()))
	}
}

// openRest begins the leaf that takes all that is left of a multipart when there are
// too many parts.
func (p *parser) openRest(f *frame) {
	f.rest = true
	f.part.Flags |= PartCut
	part := &Part{
		HeaderStart: p.pos, BodyStart: p.pos, Type: "APPLICATION", Subtype: "OCTET-STREAM", Encoding: "BINARY",
		Flags: PartCut | PartNoBlankLine,
	}
	f.part.Parts = append(f.part.Parts, part)
	p.count()
	p.stack = append(p.stack, frame{part: part, lf: p.lf, bare: p.bare})
}

// close ends the open parts from a level on, at the position less the line end
// before it.
func (p *parser) close(level int, lineEnd int64) {
	if len(p.stack) <= level {
		return
	}
	p.count()
	end, lf, bare := p.pos-lineEnd, p.lf, p.bare
	if lineEnd > 0 {
		lf--
	}
	if lineEnd == 1 {
		bare--
	}
	// When a header ends at the boundary, its blank line is also the line end of the
	// boundary. The part that the boundary ends keeps it as a blank line. What is
	// inside that part ends where it ends.
	end = max(end, p.stack[level].part.BodyStart)
	for i := len(p.stack) - 1; i >= level; i-- {
		f := &p.stack[i]
		if f.part.BodyStart > end {
			f.part.HeaderStart = min(f.part.HeaderStart, end)
			f.part.BodyStart = end
			f.part.Flags |= PartNoBlankLine
		}
		f.part.BodyEnd = end
		f.part.Lines = max(lf-f.lf, 0)
		p.closeFrame(f, max(bare-f.bare, 0))
	}
	p.stack = p.stack[:level]
}

// closeFrame finishes a part whose end is known, and in which so many line feeds
// come without CR.
func (p *parser) closeFrame(f *frame, bare int64) {
	if f.boundary != "" {
		p.bounds.pop(f.boundary, f.hidden)
	}
	part := f.part
	part.DecodedSize = part.Size()
	switch {
	case p.on:
		part.DecodedSize = p.endLeaf(part.BodyEnd)
	case f.kind == frameMultipart && len(part.Parts) == 0:
		part.Parts = []*Part{{
			HeaderStart: part.BodyStart, BodyStart: part.BodyStart, BodyEnd: part.BodyEnd,
			Lines: part.Lines, DecodedSize: part.Size() + bare,
			Type: "TEXT", Subtype: "PLAIN", Encoding: "7BIT", Flags: PartNoBlankLine,
		}}
		p.parts++
	case f.kind == frameLeaf:
		if state, ok := part.decodeState(); !ok {
			part.DecodedSize = -1
		} else if state.text {
			part.DecodedSize += bare
		}
	}
}
