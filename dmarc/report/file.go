package report

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Errors about compressed files.
var (
	ErrZip  = errors.New("malformed zip file, or not one with exactly one file in it")
	ErrGzip = errors.New("malformed gzip file")
)

// A format is how a file is compressed.
type format int

const (
	formatUnknown format = iota
	formatXML
	formatGzip
	formatZip
)

// sniff tells the format by the content, since names and media types are often
// wrong.
func sniff(data []byte) format {
	switch {
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		return formatGzip
	case bytes.HasPrefix(data, []byte("PK\x03\x04")):
		return formatZip
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}), bytes.HasPrefix(data, []byte{0xfe, 0xff}), bytes.HasPrefix(data, []byte("<\x00?\x00")), bytes.HasPrefix(data, []byte("\x00<\x00?")):
		return formatXML
	}
	data = bytes.TrimPrefix(data, []byte{0xef, 0xbb, 0xbf})
	data = bytes.TrimLeft(data, " \t\r\n")
	for _, s := range []string{"<?xml", "<feedback", "<!--"} {
		if bytes.HasPrefix(data, []byte(s)) {
			return formatXML
		}
	}
	return formatUnknown
}

// Parse reads a report from a file with XML, plain or compressed with gzip or zip,
// as its content says. A zip file must have exactly one file in it. Errors match
// [ErrTooLarge], [ErrZip] or [ErrGzip], or are an [*Error].
func Parse(data []byte) (*Feedback, error) {
	if len(data) > MaxMessage {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(data))
	}
	switch sniff(data) {
	case formatGzip:
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrGzip, err)
		}
		// Some reporters have something after the end, of which we read nothing.
		z.Multistream(false)
		return ParseXML(compressed{z, ErrGzip})
	case formatZip:
		return parseZip(data)
	}
	return ParseXML(bytes.NewReader(data))
}

// compressed gives errors of reading their kind.
type compressed struct {
	r    io.Reader
	kind error
}

func (c compressed) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", c.kind, err)
	}
	return n, err
}

func parseZip(data []byte) (*Feedback, error) {
	if err := checkZipDirectory(data); err != nil {
		return nil, err
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrZip, err)
	}
	if len(z.File) != 1 {
		return nil, fmt.Errorf("%w: %d files", ErrZip, len(z.File))
	}
	if n := z.File[0].UncompressedSize64; n > MaxXML {
		return nil, fmt.Errorf("%w: file of %d bytes in zip", ErrTooLarge, n)
	}
	f, err := z.File[0].Open()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrZip, err)
	}
	fb, err := ParseXML(compressed{f, ErrZip})
	// There is nothing to close but memory, and what matters was read.
	_ = f.Close()
	return fb, err
}

// The end of central directory record of a zip file.
const (
	zipEndSignature = "PK\x05\x06"
	zipEndLen       = 22
)

// checkZipDirectory refuses zip files with a directory that is more than one entry
// needs. The zip reader of the standard library reads all entries into memory,
// however many the directory says it has.
func checkZipDirectory(data []byte) error {
	end := bytes.LastIndex(data, []byte(zipEndSignature))
	if end < 0 || len(data)-end < zipEndLen {
		return fmt.Errorf("%w: no directory", ErrZip)
	}
	rec := data[end:]
	n := binary.LittleEndian.Uint16(rec[10:])
	size := int64(binary.LittleEndian.Uint32(rec[12:]))
	offset := int64(binary.LittleEndian.Uint32(rec[16:]))
	switch {
	case n != 1:
		return fmt.Errorf("%w: %d files", ErrZip, n)
	case size > maxZipDirectory || offset+size != int64(end):
		return fmt.Errorf("%w: directory of %d bytes at %d", ErrZip, size, offset)
	}
	return nil
}
