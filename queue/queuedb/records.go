package queuedb

import (
	"time"

	"mox/smtp"
)

// Message is one recipient of a submission, waiting to be delivered. Field names
// are the storage format. Values handed out are copies.
type Message struct {
	ID        int64
	ContentID int64  `bstore:"nonzero,index ContentID+Lane"` // Shared by the recipients of a submission.
	Lane      string `bstore:"nonzero"`                      // What shares a limit of deliveries at a time: the recipient domain, or the notices of an account.
	Flow      string `bstore:"index Flow+Hold+NextAttempt"`  // What takes its turn in a lane: one account, bulk or not.
	Bulk      bool   // Of a submission to many, or one of very many: other mail goes first.
	Hold      bool   // Not to be attempted until an operator releases it.

	// HoldReason says, to the operator, why the message is on hold, or empty.
	HoldReason string

	Account string    `bstore:"index"` // That submitted it, or that the system sends for.
	Queued  time.Time `bstore:"nonzero"`

	SenderLocalpart    string // Decoded, without quotes. Both are empty for the null reverse-path.
	SenderDomain       string // ASCII, or an address literal in brackets.
	RecipientLocalpart string
	RecipientDomain    string `bstore:"index"` // ASCII, or an address literal in brackets.
	FromID             string `bstore:"index"` // Unique id in the sender's localpart, if any.

	Attempts    int32     // Started so far. Counted before the attempt, so a crash cannot hammer a remote.
	MaxAttempts int32     // Zero is the default of package queue.
	NextAttempt time.Time `bstore:"nonzero,index"`
	LastAttempt time.Time // Zero if there was none.
	Results     []Result  // Oldest first, at most MaxResults.

	// Failed is set when delivery has failed for good and the sender is still to be
	// told. NextAttempt is then about the notice, and Notices counts the attempts
	// to deliver it.
	Failed  bool
	Notices int32

	// Success is not empty for a message that was delivered and whose sender is still
	// to be told, which has asked for that. It is an action as in a notification, and
	// Failed is set too: no more attempts are made.
	Success string

	DelayTold bool // The sender was told that the message is delayed.

	// What the sender wants to be told, RFC 3461 §4.1 and §4.2. Notify has the bits of
	// smtp.Notify. The original recipient is decoded, its type is empty if there is none.
	Notify            uint8
	OriginalType      string
	OriginalRecipient string

	RequireTLS *bool  // Nil is the default, true is REQUIRETLS, false is "TLS-Required: No".
	Transport  string // Explicitly chosen, overrides routes.
}

// Result is the outcome of one attempt.
type Result struct {
	Start    time.Time
	Duration time.Duration
	Success  bool
	Code     int32  // SMTP reply code, zero if there was none.
	Enhanced string // Enhanced code such as "5.1.1", empty if there was none.
	Error    string // For the operator and the sender, at most MaxErrorText octets.
	Remote   string // Name of the server that answered, empty if none did.

	Transport  string // By which it was tried.
	Host       string // What was connected to last, empty for nothing.
	IP         string // Of Host.
	Unanswered bool   // All was sent and no reply came: the next attempt may deliver it a second time.
	TLS        string // How the connection was protected, as in the metrics of the queue. Empty if there was none.
	Transcript string // Of the conversation, cut to MaxTranscript octets; only the last MaxTranscripts results of a message have one.
}

// LastResult returns the result of the last finished attempt.
func (m Message) LastResult() (Result, bool) {
	if len(m.Results) == 0 {
		return Result{}, false
	}
	return m.Results[len(m.Results)-1], true
}

// WantsNotice reports whether the sender wants to be told about a condition. Who has
// not said what wants to know of failures and delays, RFC 3461 §4.1.
func (m Message) WantsNotice(n smtp.Notify) bool {
	if m.Notify == 0 {
		return n&(smtp.NotifyFailure|smtp.NotifyDelay) != 0
	}
	return smtp.Notify(m.Notify)&n != 0
}

// Original returns the address that the sender had used. Its type is empty if the
// sender has not told.
func (m Message) Original() smtp.OriginalRecipient {
	return smtp.OriginalRecipient{AddrType: m.OriginalType, Address: m.OriginalRecipient}
}

// Base is what the recipients of a submission have in common.
type Base struct {
	ID            int64             `bstore:"noauto,typename Content"` // Also the name of the file.
	Size          int64             // Of prefix and file, in octets.
	Prefix        []byte            // Header fields added at submission, before the octets of the file.
	MessageID     string            `bstore:"index"` // As in the header, with brackets.
	Subject       string            // Decoded.
	EightBit      bool              // Has octets above 127: needs 8BITMIME.
	SMTPUTF8      bool              // Needs SMTPUTF8.
	FutureRelease string            // "for;<seconds>" or "until;<time>" as requested, RFC 4865 §5.1.2.
	Ret           string            // "FULL", "HDRS" or empty, RFC 3461 §4.3.
	EnvID         string            `bstore:"index"` // Decoded, for notifications. RFC 3461 §4.4
	Extra         map[string]string // Key/value data that travels with the message.
}

// Retired is a message that has left the queue, kept as history without content.
type Retired struct {
	Message      Message
	Base         Base
	LastActivity time.Time
	KeepUntil    time.Time
	Success      bool // Delivered, as opposed to failed or dropped.
}

// retired is the stored form of Retired.
type retired struct {
	ID              int64     `bstore:"noauto,typename Retired"` // Of the message.
	Account         string    `bstore:"index"`
	RecipientDomain string    `bstore:"index"`
	FromID          string    `bstore:"index"`
	MessageID       string    `bstore:"index"` // Of the content.
	EnvID           string    `bstore:"index"` // Of the content.
	LastActivity    time.Time `bstore:"nonzero,index"`
	KeepUntil       time.Time `bstore:"nonzero,index"`
	Success         bool
	Data            []byte // JSON of retiredData.
}

type retiredData struct {
	Message Message
	Base    Base
}

// flow tells when the first message of a flow that is not on hold is due. There
// is a record only while there is such a message.
type flow struct {
	Name        string `bstore:"typename Flow"`
	Lane        string `bstore:"nonzero"`
	Account     string `bstore:"nonzero"`
	Bulk        bool
	NextAttempt time.Time `bstore:"nonzero"`
}

// HoldRule puts messages on hold as they are queued. All fields that are set must
// match; without any it matches all messages.
type HoldRule struct {
	ID              int64
	Created         time.Time `bstore:"nonzero"`
	Account         string
	SenderDomain    string // As stored: ASCII, or an address literal in brackets.
	RecipientDomain string
	Reason          string // For the operator.

	// Automatic rules were added because the sending of Account jumped, see Options.
	// Told says that the postmaster knows.
	Automatic bool
	Told      bool
}

// Suppression is an address that an account is not to send to any more.
type Suppression struct {
	ID       int64
	Created  time.Time `bstore:"nonzero"`
	Account  string    `bstore:"nonzero,index"`
	Base     string    `bstore:"nonzero,unique Base+Account"` // What addresses are compared by, see SuppressionBase.
	Original string    // The address that it was added for.
	Manual   bool      // Added by somebody, as opposed to a failed delivery.
	Reason   string    // At most MaxErrorText octets.
}

// failures counts final failures in a row for an address.
type failures struct {
	ID      int64       `bstore:"typename Failures"`
	Account string      `bstore:"nonzero"`
	Base    string      `bstore:"nonzero,unique Base+Account"` // As of Suppression.
	Times   []time.Time // Oldest first, less than maxFailures.
	Last    time.Time   `bstore:"nonzero,index"`
}

// sending is what an account has queued in the past: how much of late, for telling
// bulk mail, and how much a day, for seeing a jump.
type sending struct {
	Account string      `bstore:"typename Sending"`
	Level   float64     // Recipients queued of late, see burstRate.
	LevelAt time.Time   // When Level was that.
	Hours   []hourCount // Of the last 24 hours, oldest first.
	Limited []userCount // For Limits: of the last 24 hours, oldest first, also while sending is on hold.
	Days    []dayCount  // Before those in Hours, oldest first, at most historyDays.
	Cleared time.Time   // When an operator removed the hold for a jump.
}

// userCount counts recipients of a user in an hour, and of them those that the account
// had not sent to before.
type userCount struct {
	Hour  int64 // Since 1970.
	N     int64
	First int64
}

// hourCount counts recipients in an hour, dayCount in a day, both UTC.
type hourCount struct {
	Hour int64 // Since 1970.
	N    int64
}

type dayCount struct {
	Day int64 // Since 1970.
	N   int64
}

// erase is a content whose record is gone and whose file is to be removed.
type erase struct {
	ContentID int64 `bstore:"noauto,typename Erase"`
}

// usage is what an account has in the queue.
type usage struct {
	Account  string `bstore:"typename Usage"`
	Messages int64
	Size     int64 // Of contents, each counted once.
}

// state is the singleton with totals and the reserved ids.
type state struct {
	ID          int8  `bstore:"typename State,noauto"` // Always 1.
	Version     int32 // Of the storage format.
	ContentLow  int64 // Ids below this have a record or an erase row, or no file.
	ContentHigh int64 // Ids from ContentLow up to this are reserved: files may exist without a record.
	Messages    int64
	Held        int64
	Failed      int64 // Messages whose sender is still to be told.
	Size        int64 // Of contents.
}
