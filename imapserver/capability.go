package imapserver

import (
	"strconv"
	"strings"

	"mox/imap"
)

// capabilities are announced in all states. What is here works. RFC 9051 §7.2.2
var capabilities = []imap.Cap{
	imap.CapIMAP4rev2, imap.CapIMAP4rev1, imap.CapEnable, imap.CapLiteralPlus, imap.CapIdle, imap.CapSASLIR,
	imap.CapPreview, imap.CapUnauthenticate, imap.CapReplace, imap.CapCatenate,
	imap.CapID, imap.CapNamespace, imap.CapBinary, imap.CapUnselect, imap.CapUIDPlus, imap.CapMove,
	imap.CapMultiAppend, imap.CapESearch, imap.CapSearchRes, imap.CapWithin, imap.CapUTF8Accept,
	imap.CapListExtended, imap.CapListStatus, imap.CapSpecialUse, imap.CapCreateSpecial, imap.CapChildren,
	imap.CapStatusSize, imap.CapQuota, imap.CapQuotaStorage, imap.CapQuotaMessage, imap.CapSaveDate, imap.CapObjectID,
	imap.CapCondStore, imap.CapQResync, imap.CapUIDOnly, imap.CapPartial, imap.CapInProgress, imap.CapMetadata,
	imap.CapListMetadata, imap.CapNotify, imap.CapSort, imap.CapSortDisplay, imap.CapESort, imap.CapMultiSearch, imap.CapContextSearch,
	imap.CapContextSort, imap.CapThreadSubject, imap.CapThreadRefs,
}

// caps returns what is announced in the current state.
func (c *conn) caps() []string {
	l := make([]string, 0, len(capabilities)+10)
	for _, name := range capabilities {
		l = append(l, string(name))
	}
	if c.srv.opts.Owner != nil {
		l = append(l, string(imap.CapURLAuth))
	}
	l = append(l, string(imap.CapAppendLimit)+"="+strconv.FormatInt(c.opts.MaxMessageSize, 10))
	l = append(l, string(imap.CapMessageLimit)+"="+strconv.Itoa(c.srv.opts.MessageLimit))
	if c.sess != nil {
		if c.io.deflate == nil {
			l = append(l, string(imap.CapCompressDeflate))
		}
		return l
	}
	if c.tls == nil && c.opts.TLSConfig != nil {
		l = append(l, string(imap.CapStartTLS))
	}
	plaintext := c.plaintextOK()
	for _, name := range c.auth().Mechanisms(c.tls != nil, c.hasClientCert(), plaintext) {
		l = append(l, imap.CapAuthPrefix+name)
	}
	if !plaintext {
		l = append(l, string(imap.CapLoginDisabled))
	}
	return l
}

// plaintextOK reports whether passwords may be sent as they are.
func (c *conn) plaintextOK() bool { return c.tls != nil || c.opts.AllowPlaintextLogin }

// hasClientCert reports whether the client has shown a TLS certificate.
func (c *conn) hasClientCert() bool {
	cs := c.tlsState()
	return cs != nil && len(cs.PeerCertificates) > 0
}

// capabilityCode returns the code that saves the client a command. RFC 9051 §7.1
func (c *conn) capabilityCode() imap.Code {
	return imap.CodeCapability + imap.Code(" "+strings.Join(c.caps(), " "))
}
