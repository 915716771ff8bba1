package proxyproto

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// Limits in octets.
const (
	// maxText is the length of the longest header of version 1, with CRLF. The
	// specification derives it: an UNKNOWN one with two IPv6 addresses.
	maxText = 107

	// maxBinary is how much may follow the fixed part of a header of version 2. At least
	// 216 for addresses must be possible; with what proxies add about TLS it is some
	// hundreds.
	maxBinary = 4 << 10
)

// ErrMalformed says that what came is not a header, or not one that is supported.
var ErrMalformed = errors.New("proxyproto: malformed header")

// Header is what a proxy tells about a connection.
type Header struct {
	// Local says that nothing is told: the proxy connects for itself, as for checking
	// whether the server is there, or it does not know, or there is no IP address. The
	// connection is then from whom it seems to be from.
	Local bool

	// Source is the client, Destination what it had connected to. Without a zone, and
	// IPv4 addresses not in their IPv6 form.
	Source, Destination netip.AddrPort
}

// signature begins a header of version 2. It is as long as the part of a header of
// version 1 that is there in any case, with which reading begins.
const signature = "\r\n\r\n\x00\r\nQUIT\n"

// Read reads a header, and nothing beyond it. Errors that are not those of reading
// match ErrMalformed.
func Read(r io.Reader) (Header, error) {
	var first [len(signature)]byte
	if _, err := io.ReadFull(r, first[:]); err != nil {
		return Header{}, fmt.Errorf("proxyproto: reading: %w", err)
	}
	if string(first[:]) == signature {
		return readBinary(r)
	}
	return readText(r, first[:])
}

func malformed(format string, args ...any) (Header, error) {
	return Header{}, fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// readText reads the rest of:
//
//	"PROXY" SP ("TCP4" / "TCP6") SP source SP destination SP port SP port CRLF
//	"PROXY" SP "UNKNOWN" [SP *OCTET] CRLF
//
// It reads octet by octet, so that nothing of what follows is taken.
func readText(r io.Reader, first []byte) (Header, error) {
	const start = "PROXY "
	if string(first[:len(start)]) != start {
		return malformed("neither version 1 nor 2")
	}
	line := make([]byte, len(first), maxText)
	copy(line, first)
	for line[len(line)-1] != '\n' {
		if len(line) == maxText {
			return malformed("line longer than %d octets", maxText)
		}
		n, err := io.ReadFull(r, line[len(line):len(line)+1])
		if err != nil {
			return Header{}, fmt.Errorf("proxyproto: reading: %w", err)
		}
		line = line[:len(line)+n]
	}
	text, ok := strings.CutSuffix(string(line[len(start):]), "\r\n")
	if !ok || strings.ContainsAny(text, "\r\n") {
		return malformed("line does not end in CRLF")
	}
	return parseText(text)
}

// parseText parses what follows "PROXY ".
func parseText(text string) (Header, error) {
	if text == "UNKNOWN" || strings.HasPrefix(text, "UNKNOWN ") {
		return Header{Local: true}, nil // The rest must be ignored.
	}
	f := strings.Split(text, " ")
	if len(f) != 5 || f[0] != "TCP4" && f[0] != "TCP6" {
		return malformed("unknown protocol or wrong number of fields")
	}
	var h Header
	for i, ap := range []*netip.AddrPort{&h.Source, &h.Destination} {
		ip, err := netip.ParseAddr(f[1+i])
		if err != nil || ip.Zone() != "" || ip.Is4() != (f[0] == "TCP4") {
			return malformed("address is not one of %s", f[0])
		}
		port, err := strconv.ParseUint(f[3+i], 10, 16)
		if err != nil || strconv.FormatUint(port, 10) != f[3+i] {
			return malformed("bad port")
		}
		*ap = netip.AddrPortFrom(ip.Unmap(), uint16(port))
	}
	return h, nil
}

// Values of the fixed part of version 2: version and command in the first octet,
// address family and transport protocol in the second.
const (
	localV2 = 0x20
	proxyV2 = 0x21

	unspec = 0x00
	tcp4   = 0x11
	tcp6   = 0x21
	stream = 0x31 // Unix socket.
)

// readBinary reads what follows the signature.
func readBinary(r io.Reader) (Header, error) {
	var fixed [4]byte
	if _, err := io.ReadFull(r, fixed[:]); err != nil {
		return Header{}, fmt.Errorf("proxyproto: reading: %w", err)
	}
	size := int(binary.BigEndian.Uint16(fixed[2:]))
	if size > maxBinary {
		return malformed("%d octets, at most %d", size, maxBinary)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(r, data); err != nil {
		return Header{}, fmt.Errorf("proxyproto: reading: %w", err)
	}
	switch command, family := fixed[0], fixed[1]; {
	case command == localV2:
		return Header{Local: true}, nil // All else must be ignored.
	case command != proxyV2:
		return malformed("unknown version or command %#x", command)
	case family == unspec, family == stream:
		return Header{Local: true}, nil
	case family == tcp4:
		return addresses(data, 4)
	case family == tcp6:
		return addresses(data, 16)
	default:
		return malformed("unsupported family and protocol %#x", family)
	}
}

// addresses returns the header for two addresses of n octets, followed by two ports
// and whatever else.
func addresses(data []byte, n int) (Header, error) {
	if len(data) < 2*n+4 {
		return malformed("too short for two addresses")
	}
	var h Header
	for i, ap := range []*netip.AddrPort{&h.Source, &h.Destination} {
		ip, _ := netip.AddrFromSlice(data[i*n : (i+1)*n]) // Of the right length.
		*ap = netip.AddrPortFrom(ip.Unmap(), binary.BigEndian.Uint16(data[2*n+2*i:]))
	}
	return h, nil
}
