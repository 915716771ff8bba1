package imap

import "strings"

// A StatusItem is a data item of STATUS. RFC 9051 §6.3.11
type StatusItem string

// Status items.
const (
	StatusMessages       StatusItem = "MESSAGES"
	StatusUIDNext        StatusItem = "UIDNEXT"
	StatusUIDValidity    StatusItem = "UIDVALIDITY"
	StatusUnseen         StatusItem = "UNSEEN"
	StatusDeleted        StatusItem = "DELETED"
	StatusSize           StatusItem = "SIZE"            // RFC 8438 §3
	StatusRecent         StatusItem = "RECENT"          // RFC 3501 §6.3.10
	StatusAppendLimit    StatusItem = "APPENDLIMIT"     // RFC 7889 §3
	StatusHighestModSeq  StatusItem = "HIGHESTMODSEQ"   // RFC 7162 §3.1.7
	StatusDeletedStorage StatusItem = "DELETED-STORAGE" // RFC 9208 §4.1.4
	StatusMailboxID      StatusItem = "MAILBOXID"       // RFC 8474 §4.3
)

var statusItems = [...]StatusItem{
	StatusMessages, StatusUIDNext, StatusUIDValidity, StatusUnseen, StatusDeleted, StatusSize,
	StatusRecent, StatusAppendLimit, StatusHighestModSeq, StatusDeletedStorage, StatusMailboxID,
}

// ParseStatusItem returns the item with this name, in any case.
func ParseStatusItem(name string) (StatusItem, bool) {
	for _, item := range statusItems {
		if strings.EqualFold(string(item), name) {
			return item, true
		}
	}
	return "", false
}
