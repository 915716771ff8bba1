package sasl

import "crypto/tls"

// Types of channel binding, RFC 5929 §3 and RFC 9266 §3.
const (
	TLSExporter = "tls-exporter"
	TLSUnique   = "tls-unique"
)

// The label and length of the keying material for tls-exporter, RFC 9266 §2.
const (
	exporterLabel  = "EXPORTER-Channel-Binding"
	exporterLength = 32
)

// ChannelBinding names a property of a TLS connection that both ends see and
// that no one in between can make equal on two connections.
type ChannelBinding struct {
	Type string // e.g. TLSExporter
	Data []byte
}

// TLSChannelBindings returns the channel bindings that a TLS connection has,
// best first, after its handshake. It is empty for nil (no TLS), and for resumed
// TLS 1.2 connections that have no extended master secret, for which binding is
// not safe, RFC 7677 §4.
//
// TLS 1.3 has tls-exporter only. TLS 1.2 and below has tls-unique first, as
// clients expect, and tls-exporter.
func TLSChannelBindings(cs *tls.ConnectionState) []ChannelBinding {
	if cs == nil || !cs.HandshakeComplete {
		return nil
	}
	var bindings []ChannelBinding
	if cs.Version <= tls.VersionTLS12 && len(cs.TLSUnique) > 0 {
		bindings = append(bindings, ChannelBinding{TLSUnique, cs.TLSUnique})
	}
	// The context is a zero-length string, which is not the same as none at all
	// before TLS 1.3.
	data, err := cs.ExportKeyingMaterial(exporterLabel, []byte{}, exporterLength)
	if err == nil {
		bindings = append(bindings, ChannelBinding{TLSExporter, data})
	}
	return bindings
}

// findBinding returns the binding of a type, or nil.
func findBinding(bindings []ChannelBinding, typ string) *ChannelBinding {
	for i := range bindings {
		if bindings[i].Type == typ {
			return &bindings[i]
		}
	}
	return nil
}
