package proxyproto

import (
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
)

// v2 returns a header of version 2.
func v2(command, family byte, data string) string {
	return signature + string([]byte{command, family}) + string(binary.BigEndian.AppendUint16(nil, uint16(len(data)))) + data
}

const (
	ports = "\xdb\xfc\x00\x19" // 56316 and 25.
	ip4   = "\xc0\x00\x02\x01\xc6\x33\x64\x02" + ports
	ip6   = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" + ports
)

func header(source, destination string) Header {
	return Header{Source: netip.MustParseAddrPort(source), Destination: netip.MustParseAddrPort(destination)}
}

var (
	local   = Header{Local: true}
	longest = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"
)

// The worst cases and layouts of the specification, §2.1 and §2.2.
var vectors = []struct {
	name  string
	input string
	want  Header
	ok    bool
}{
	{"TCP4", "PROXY TCP4 192.0.2.1 198.51.100.2 56316 25\r\n", header("192.0.2.1:56316", "198.51.100.2:25"), true},
	{"worst case of TCP4", "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", header("255.255.255.255:65535", "255.255.255.255:65535"), true},
	{"worst case of TCP6", "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", header("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"), true},
	{"short TCP6", "PROXY TCP6 2001:db8::1 ::1 0 25\r\n", header("[2001:db8::1]:0", "[::1]:25"), true},
	{"IPv4 in TCP6", "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 1 2\r\n", header("192.0.2.1:1", "198.51.100.2:2"), true},
	{"UNKNOWN", "PROXY UNKNOWN\r\n", local, true},
	{"worst case of UNKNOWN", longest, local, true},
	{"UNKNOWN with what must be ignored", "PROXY UNKNOWN x  \x00 y\r\n", local, true},

	{"longer than the worst case", strings.Replace(longest, "\r\n", "5\r\n", 1), Header{}, false},
	{"LF alone", "PROXY TCP4 192.0.2.1 198.51.100.2 56316 25\n", Header{}, false},
	{"CR in the line", "PROXY UNKNOWN\rx\r\n", Header{}, false},
	{"lower case", "proxy TCP4 192.0.2.1 198.51.100.2 56316 25\r\n", Header{}, false},
	{"two spaces", "PROXY TCP4  192.0.2.1 198.51.100.2 56316 25\r\n", Header{}, false},
	{"space at the end", "PROXY TCP4 192.0.2.1 198.51.100.2 56316 25 \r\n", Header{}, false},
	{"unknown protocol", "PROXY UDP4 192.0.2.1 198.51.100.2 56316 25\r\n", Header{}, false},
	{"UNKNOWNS", "PROXY UNKNOWNS\r\n", Header{}, false},
	{"IPv6 in TCP4", "PROXY TCP4 ::1 ::2 56316 25\r\n", Header{}, false},
	{"IPv4 in TCP6", "PROXY TCP6 192.0.2.1 198.51.100.2 56316 25\r\n", Header{}, false},
	{"zone", "PROXY TCP6 fe80::1%eth0 ::1 56316 25\r\n", Header{}, false},
	{"leading zero in address", "PROXY TCP4 192.0.02.1 198.51.100.2 56316 25\r\n", Header{}, false},
	{"leading zero in port", "PROXY TCP4 192.0.2.1 198.51.100.2 56316 025\r\n", Header{}, false},
	{"port out of range", "PROXY TCP4 192.0.2.1 198.51.100.2 65536 25\r\n", Header{}, false},
	{"negative port", "PROXY TCP4 192.0.2.1 198.51.100.2 -1 25\r\n", Header{}, false},
	{"missing port", "PROXY TCP4 192.0.2.1 198.51.100.2 56316\r\n", Header{}, false},
	{"SMTP", "EHLO client.example\r\n", Header{}, false},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00", Header{}, false},

	{"version 2, IPv4", v2(0x21, 0x11, ip4), header("192.0.2.1:56316", "198.51.100.2:25"), true},
	{"version 2, IPv6", v2(0x21, 0x21, ip6), header("[2001:db8::1]:56316", "[2001:db8::2]:25"), true},
	{"version 2, with more", v2(0x21, 0x11, ip4+"\x04\x00\x03abc"), header("192.0.2.1:56316", "198.51.100.2:25"), true},
	{"version 2, as much more as is taken", v2(0x21, 0x11, ip4+strings.Repeat("\x04", maxBinary-len(ip4))), header("192.0.2.1:56316", "198.51.100.2:25"), true},
	{"version 2, local", v2(0x20, 0x00, ""), local, true},
	{"version 2, local with addresses to be ignored", v2(0x20, 0x11, ip4), local, true},
	{"version 2, unspecified", v2(0x21, 0x00, "xyz"), local, true},
	{"version 2, unix", v2(0x21, 0x31, strings.Repeat("\x00", 216)), local, true},

	{"version 2, datagrams", v2(0x21, 0x12, ip4), Header{}, false},
	{"version 2, family that is not assigned", v2(0x21, 0x41, ip4), Header{}, false},
	{"version 2, command that is not assigned", v2(0x22, 0x11, ip4), Header{}, false},
	{"version 3", v2(0x31, 0x11, ip4), Header{}, false},
	{"version 2, short IPv4", v2(0x21, 0x11, ip4[:11]), Header{}, false},
	{"version 2, short IPv6", v2(0x21, 0x21, ip6[:35]), Header{}, false},
	{"version 2, too long", v2(0x21, 0x11, ip4+strings.Repeat("\x04", maxBinary)), Header{}, false},
}

func TestRead(t *testing.T) {
	t.Parallel()
	for _, tc := range vectors {
		for _, one := range []bool{false, true} {
			rest := strings.NewReader(tc.input + "EHLO x\r\n")
			var r io.Reader = rest
			if one {
				r = iotest.OneByteReader(r)
			}
			h, err := Read(r)
			if (err == nil) != tc.ok || h != tc.want {
				t.Errorf("%s: %+v, %v", tc.name, h, err)
			}
			if err != nil && !errors.Is(err, ErrMalformed) {
				t.Errorf("%s: error %v", tc.name, err)
			}
			if err == nil && rest.Len() != len("EHLO x\r\n") {
				t.Errorf("%s: %d octets left", tc.name, rest.Len())
			}
		}
		for n := range len(tc.input) {
			if _, err := Read(strings.NewReader(tc.input[:n])); tc.ok && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
				t.Errorf("%s, cut at %d: %v", tc.name, n, err)
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, tc := range vectors {
		f.Add([]byte(tc.input))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		r := strings.NewReader(string(input))
		h, err := Read(r)
		used := len(input) - r.Len()
		switch {
		case used > len(signature)+4+maxBinary:
			t.Errorf("%d octets were read", used)
		case err != nil && h != (Header{}):
			t.Errorf("both a header and error %v", err)
		case err != nil || h.Local:
			return
		}
		// What was read says the same when it is written again.
		family, s, d := byte(tcp4), h.Source.Addr().AsSlice(), h.Destination.Addr().AsSlice()
		if len(s) != len(d) { // One of them had its IPv6 form.
			return
		}
		if len(s) == 16 {
			family = tcp6
		}
		data := binary.BigEndian.AppendUint16(append(s, d...), h.Source.Port())
		data = binary.BigEndian.AppendUint16(data, h.Destination.Port())
		if again, err := Read(strings.NewReader(v2(proxyV2, family, string(data)))); err != nil || again != h {
			t.Errorf("%+v became %+v, %v", h, again, err)
		}
	})
}
