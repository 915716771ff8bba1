package imapclient

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"

	"github.com/klauspost/compress/flate"

	"mox/imap/wire"
	"mox/internal/inflate"
)

// Compress compresses all that follows, in both directions. Untrusted servers can make
// little input much; the limits of [Options] count what comes out. RFC 4978 §3
func (c *Client) Compress(ctx context.Context) error {
	_, err := c.do(ctx, "COMPRESS", func(e *wire.Encoder) {
		e.SP()
		e.Raw("DEFLATE")
	})
	if err != nil {
		return err
	}
	return c.run(ctx, func() error {
		// What came behind the OK is compressed.
		conn, err := newDeflateConn(c.conn, c.r.TakeBuffered())
		if err == nil {
			c.setConn(conn)
		}
		return err
	})
}

// deflateConn is a connection with compression.
type deflateConn struct {
	net.Conn
	r io.Reader
	w *flate.Writer
}

// newDeflateConn adds compression to a connection, of which some was read ahead.
func newDeflateConn(nc net.Conn, ahead []byte) (*deflateConn, error) {
	w, err := flate.NewWriter(nc, flate.DefaultCompression)
	src := io.MultiReader(bytes.NewReader(ahead), nc)
	return &deflateConn{Conn: nc, r: inflate.NewReader(src), w: w}, err
}

func (d *deflateConn) Read(p []byte) (int, error) { return d.r.Read(p) }

// Write writes p, to its last byte.
func (d *deflateConn) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	return n, errors.Join(err, d.w.Flush())
}
