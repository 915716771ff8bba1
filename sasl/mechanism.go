package sasl

// Mechanism names, as registered with IANA. LOGIN is not registered but widely
// used.
const (
	Plain           = "PLAIN"
	Login           = "LOGIN"
	External        = "EXTERNAL"
	CRAMMD5         = "CRAM-MD5"
	SCRAMSHA1       = "SCRAM-SHA-1"
	SCRAMSHA1Plus   = "SCRAM-SHA-1-PLUS"
	SCRAMSHA256     = "SCRAM-SHA-256"
	SCRAMSHA256Plus = "SCRAM-SHA-256-PLUS"
)

// MaxMessage is the largest challenge or response in octets, before base64. It
// is what fits in the 12,288 octets of base64 of RFC 4954 §4. Larger messages
// are refused by both sides of all mechanisms.
const MaxMessage = 12288 / 4 * 3

// Identity is who an exchange is about.
type Identity struct {
	// Authentication is the authentication identity: the user whose password or
	// key is used. It is in Unicode normalisation form C.
	Authentication string

	// Authorization is the identity to act as, RFC 4422 §2. Empty means that it is
	// to be derived from Authentication.
	Authorization string
}

// Proxies reports whether the user wants to act as someone else, which servers
// without proxy authorization must refuse.
func (id Identity) Proxies() bool {
	return id.Authorization != "" && id.Authorization != id.Authentication
}

// Credentials are an identity with its password, as sent by PLAIN and LOGIN.
type Credentials struct {
	Identity

	// Password is as sent, not prepared. See [PreparePassword].
	Password string
}

func checkSize(msg []byte) error {
	if len(msg) > MaxMessage {
		return failf(ErrProtocol, "message of %d octets, more than %d", len(msg), MaxMessage)
	}
	return nil
}
