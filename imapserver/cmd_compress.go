package imapserver

import (
	"bytes"
	"context"
	"io"

	"github.com/klauspost/compress/flate"

	"mox/imap"
	"mox/imap/wire"
	"mox/internal/inflate"
)

// COMPRESS. RFC 4978
//
// What is written is compressed and flushed each time the encoder writes, so a response
// is never held back. No compressor is kept per connection, only the last of what was
// written, which the next output may refer to. What is read is inflated as it is asked
// for, into a window of fixed size: all limits, of lines, literals and what is read over
// for a refused command, count inflated octets, so a small amount of input that becomes a
// large one is refused as the large one is. Time limits are those of the connection below.

// Sizes of what a compressed connection keeps, besides the window of 32 KiB that DEFLATE has.
const (
	deflateHistory = 8 << 10 // Of what was written: the most that flate.StatelessDeflate makes use of.
	lingerSize     = 1 << 10 // What is read after LOGOUT.
)

// parseCompress parses the name of the algorithm.
//
//	compress  = "COMPRESS" SP algorithm
//	algorithm = "DEFLATE"
func parseCompress(d *wire.Decoder) struct{} {
	d.NeedSP()
	if name := d.NeedName(); name != "DEFLATE" {
		d.Fail("unknown compression algorithm")
	}
	return struct{}{}
}

// runCompress compresses all after its reply. TLS has no compression here.
func runCompress(_ context.Context, s *session, _ struct{}) (reply, error) {
	c := s.c
	if err := c.endCommand(); err != nil {
		return reply{}, err
	}
	if c.io.deflate != nil {
		return reply{}, imap.No(imap.CodeCompressionActive, "deflate is active already")
	}
	return reply{text: "deflate active", after: c.compress}, nil
}

// compress adds the layer. What the client has sent behind the command, for which it
// should have waited, is the beginning of its compressed data.
func (c *conn) compress(context.Context) error {
	var src io.Reader = rawReader{&c.io}
	if ahead := c.r.TakeBuffered(); len(ahead) > 0 {
		src = io.MultiReader(bytes.NewReader(ahead), src)
	}
	c.io.deflate = &deflater{}
	c.io.inflate = inflate.NewReader(src)
	c.r.Reset(&c.io)
	return nil
}

// rawReader reads from the layer below the compression.
type rawReader struct{ n *netIO }

func (r rawReader) Read(p []byte) (int, error) { return r.n.nc.Read(p) }

// deflater compresses what is written.
type deflater struct {
	history []byte // The last of what was compressed, at most deflateHistory.
}

// deflate appends the compressed form of p to b, complete up to its last octet.
func (d *deflater) deflate(b *bytes.Buffer, p []byte) error {
	if err := flate.StatelessDeflate(b, p, false, d.history); err != nil {
		return err
	}
	if len(p) >= deflateHistory {
		d.history = append(d.history[:0], p[len(p)-deflateHistory:]...)
		return nil
	}
	if over := len(d.history) + len(p) - deflateHistory; over > 0 {
		d.history = append(d.history[:0], d.history[over:]...)
	}
	d.history = append(d.history, p...)
	return nil
}

// endDeflate ends the compressed data that was written, if there is any. After a flush
// there is more to read than the last command: a connection that is closed before that was
// read would be reset, and the client could lose what it was told.
func (c *conn) endDeflate() {
	if c.io.deflate == nil || c.enc.Err() != nil {
		return
	}
	var b bytes.Buffer
	if flate.StatelessDeflate(&b, nil, true, nil) != nil || c.io.writeRaw(b.Bytes()) != nil {
		return
	}
	if cw, ok := c.io.nc.(interface{ CloseWrite() error }); ok && cw.CloseWrite() == nil {
		c.setReadTimeout(lingerTimeout)
		_, _ = io.CopyN(io.Discard, rawReader{&c.io}, lingerSize)
	}
}
