package mlog

import (
	"fmt"
	"log/slog"
)

// redacted is what is shown instead of a secret.
const redacted = "***"

// A Secret is a text that must not be shown: a password, a token. It prints as
// "***" through fmt and slog; string(s) is the text. It is not hidden from
// encoding/json, which must be able to store it.
type Secret string

// LogValue returns "***".
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// String returns "***".
func (s Secret) String() string { return redacted }

// GoString returns "***".
func (s Secret) GoString() string { return redacted }

// Format writes "***" for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }
