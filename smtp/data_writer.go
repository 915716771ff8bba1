package smtp

import (
	"bytes"
	"errors"
	"io"
)

// DataWriter writes content that follows DATA: with dot stuffing, RFC 5321
// §4.5.2, and the final line with a dot. It refuses a CR or LF that is not part of
// CRLF, with ErrBareCR or ErrBareLF, and a line with NULs before a dot and nothing
// else, with ErrSmuggling: what is sent must have one meaning only. After an error the data cannot be completed, and the connection must be closed: ending
// the data would deliver half a message.
//
// Writes go to the underlying writer in small pieces, so that should be buffered.
type DataWriter struct {
	w   io.Writer
	err error

	state dataState // atLine, inLine or afterCR.
	nuls  nulLine   // Of lines that begin with NUL: before others a dot is doubled.
	size  int64
}

// NewDataWriter returns a writer. Call Close to end the data.
func NewDataWriter(w io.Writer) *DataWriter {
	return &DataWriter{w: w}
}

var (
	dotByte  = []byte(".")
	dotLine  = []byte(".\r\n")
	crlfDot  = []byte("\r\n.\r\n")
	errWrite = errors.New("smtp: write to closed DataWriter")
)

// Write writes content. It may be split anywhere.
func (d *DataWriter) Write(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	done := 0 // What was written of p.
	i := 0    // What was looked at.
	cr := -1  // Position of the next CR in p, if not before i.
	for i < len(p) {
		switch d.state {
		case atLine:
			switch p[i] {
			case 0:
				d.nuls.begin(0)
			case '.':
				if err := d.write(p[done:i], dotByte); err != nil {
					return done, err
				}
				done = i
				i++
			}
			d.state = inLine
		case afterCR:
			if p[i] != '\n' {
				return d.refuse(done, ErrBareCR)
			}
			i++
			d.state = atLine
		default:
			if cr < i {
				cr = indexFrom(p, i, '\r')
			}
			if bytes.IndexByte(p[i:cr], '\n') >= 0 {
				return d.refuse(done, ErrBareLF)
			}
			d.nuls.add(p[i:cr])
			i = cr
			if i < len(p) {
				if d.nuls.end() {
					return d.refuse(done, ErrSmuggling)
				}
				i++
				d.state = afterCR
			}
		}
	}
	if err := d.write(p[done:], nil); err != nil {
		return done, err
	}
	d.size += int64(len(p))
	return len(p), nil
}

func (d *DataWriter) refuse(n int, err error) (int, error) {
	d.err = err
	return n, err
}

func (d *DataWriter) write(a, b []byte) error {
	for _, buf := range [2][]byte{a, b} {
		if len(buf) == 0 {
			continue
		}
		if _, err := d.w.Write(buf); err != nil {
			d.err = err
			return err
		}
	}
	return nil
}

// Close ends the data. Content that does not end with CRLF gets one. It does not
// close or flush the underlying writer.
func (d *DataWriter) Close() error {
	switch {
	case d.err != nil:
		return d.err
	case d.state == afterCR:
		d.err = ErrBareCR
		return d.err
	case d.nuls.end():
		d.err = ErrSmuggling
		return d.err
	}
	end := dotLine
	if d.state == inLine {
		end = crlfDot
	}
	if err := d.write(end, nil); err != nil {
		return err
	}
	d.err = errWrite
	return nil
}

// Size returns the number of octets of content written so far, without dot
// stuffing.
func (d *DataWriter) Size() int64 {
	return d.size
}
