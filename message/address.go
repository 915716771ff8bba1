package message

// Address is an entry of an address list: a mailbox, or the beginning or end of
// a group, in the form that RFC 9051 §7.5.2 gives them.
type Address struct {
	Name    string // Display name as written but for quoting, maybe with encoded words; group name.
	Route   string // Source route of an obsolete route-addr, such as "@a,@b". Empty normally.
	Mailbox string // Local part without quoting.
	Host    string // Domain as written; empty if missing.
	Kind    AddressKind
}

// AddressKind tells mailboxes from the marks around a group.
type AddressKind uint8

const (
	KindMailbox    AddressKind = iota // A mailbox.
	KindGroupStart                    // Begins a group; only Name is set.
	KindGroupEnd                      // Ends a group; nothing is set.
)

// ParseAddressList reads the value of a field that holds addresses.
func ParseAddressList(value []byte) []Address {
	return appendAddresses(nil, value)
}

func appendAddresses(l []Address, value []byte) []Address { return l }
