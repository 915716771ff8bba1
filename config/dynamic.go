package config

// Dynamic is the content of domains.conf, field by field. Zero values of optional
// fields stand for the defaults in brackets in the documentation.
type Dynamic struct {
	Domains map[string]DomainFields `sconf-doc:"The format of this file: one field a line, as name, colon, space and value. What belongs to a field is indented below it with tabs. A line that starts with # is a comment. Values have no quotes and no escapes.\n\n\nDomains that mail is accepted for. Names beyond ASCII are written in Unicode, and all in lower case."`

	Accounts map[string]AccountFields `sconf-doc:"Accounts, by name. An account has mail, a password, and any number of addresses. Its name is that of its directory, and no address."`
}

// DomainFields is one element of Domains in domains.conf.
type DomainFields struct {
	Disabled bool `sconf:"optional" sconf-doc:"Refuse mail for the domain, and mail from it, with temporary errors, for instance while its mail is being moved here. Logging in with its addresses works."`

	Description string `sconf:"optional" sconf-doc:"Any text, for the operator."`

	LocalpartCatchallSeparator string `sconf:"optional" sconf-doc:"What follows this in the localpart of an address does not count. With + as separator, mail for ann+shop@example.org goes to ann@example.org."`

	LocalpartCatchallSeparators []string `sconf:"optional" sconf-doc:"As LocalpartCatchallSeparator, for more than one of them; only one of the fields can be used. Where the server makes up an address, it uses the first."`

	LocalpartCaseSensitive bool `sconf:"optional" sconf-doc:"Upper and lower case make different localparts in this domain."`
}

// AccountFields is one element of Accounts in domains.conf.
type AccountFields struct {
	LoginDisabled string `sconf:"optional" sconf-doc:"If not empty, logging in fails with this text, for instance while mail is being moved; mail is still delivered. At most 255 characters of printable ASCII."`

	Domain string `sconf-doc:"Domain of the account, for addresses that the server makes up. Must be one of Domains."`

	Description string `sconf:"optional" sconf-doc:"Any text, for the operator, such as who to call."`

	Destinations map[string]DestinationFields `sconf:"optional" sconf-doc:"Addresses of the account, with what becomes of mail for them. An address without localpart, @example.org, gets all mail of the domain that no other address gets. With nil as value, mail goes to Inbox."`

	RejectsMailbox string `sconf:"optional" sconf-doc:"Mailbox that gets a copy of each message that was refused because of who it is from, so that you can see what you miss; Rejects is a good name. Cannot be Inbox. A copy goes away after 14 days, when 1000 newer ones are there, and when the message is accepted later. If absent, there are no copies."`

	KeepRejects bool `sconf:"optional" sconf-doc:"Keep all copies in RejectsMailbox."`

	QuotaMessageSize int64 `sconf:"optional" sconf-doc:"How large the messages of the account may be together, in bytes, instead of what mox.conf says. Negative: no limit."`

	MaxOutgoingMessagesPerDay int `sconf:"optional" sconf-doc:"To how many recipients the account can send in 24 hours, which limits the damage when someone else got hold of the password. [1000]"`

	MaxFirstTimeRecipientsPerDay int `sconf:"optional" sconf-doc:"To how many recipients that it has never sent to before the account can send in 24 hours. [200]"`

	CRAMMD5 bool `sconf:"optional" sconf-doc:"Let the account log in with CRAM-MD5, for devices that know nothing better. For that the server keeps what is as good as the password itself. The password must be set again after this was changed."`
}

// DestinationFields is one element of Destinations of an account in domains.conf.
type DestinationFields struct {
	Mailbox string `sconf:"optional" sconf-doc:"Mailbox for mail to the address. It is created when missing. [Inbox]"`

	SMTPError string `sconf:"optional" sconf-doc:"Refuse mail for the address: 421 for the time being, 550 for good, with a text after a space if you like, such as 550 no longer with us. At most 255 characters of printable ASCII. Excludes Mailbox."`
}
