package config

// Dynamic is the content of domains.conf, field by field. Zero values of optional
// fields stand for the defaults in brackets in the documentation.
type Dynamic struct {
	Domains map[string]DomainFields `sconf-doc:"NOTE: This config file is in 'sconf' format. Indent with tabs. Comments must be on their own line, they don't end a line. Do not escape or quote strings. Details: https://pkg.go.dev/github.com/mjl-/sconf.\n\n\nDomains for which email is accepted. For internationalized domains, use their IDNA names in Unicode, in lower case."`

	Accounts map[string]AccountFields `sconf-doc:"Accounts represent mox users, each with a password and email address(es) to which email can be delivered (possibly at different domains). Each account has its own on-disk directory holding its messages and index database. An account name is not an email address."`
}

// DomainFields is one element of Domains in domains.conf.
type DomainFields struct {
	Disabled bool `sconf:"optional" sconf-doc:"Disabled domains can be useful during migrations. Incoming deliveries for the domain are refused with a temporary error, and so is mail submitted with a From address in the domain. Logging in with an address in the domain still works."`

	Description string `sconf:"optional" sconf-doc:"Free-form description of domain."`

	LocalpartCatchallSeparator string `sconf:"optional" sconf-doc:"If not empty, only the string before the separator is used to for email delivery decisions. For example, if set to \"+\", you+anything@example.com will be delivered to you@example.com."`

	LocalpartCatchallSeparators []string `sconf:"optional" sconf-doc:"Similar to LocalpartCatchallSeparator, but in case multiple are needed. For example both \"+\" and \"-\". Only of one LocalpartCatchallSeparator or LocalpartCatchallSeparators can be set. The first separator is used where an address is made up."`

	LocalpartCaseSensitive bool `sconf:"optional" sconf-doc:"If set, upper/lower case is relevant for email delivery."`
}

// AccountFields is one element of Accounts in domains.conf.
type AccountFields struct {
	LoginDisabled string `sconf:"optional" sconf-doc:"If non-empty, login attempts on all protocols (e.g. SMTP/IMAP) fail with this error message. Useful during migrations. Incoming deliveries for addresses of this account are still accepted as normal. At most 255 printable ASCII characters."`

	Domain string `sconf-doc:"Default domain for account. Must be one of Domains."`

	Description string `sconf:"optional" sconf-doc:"Free form description, e.g. full name or alternative contact info."`

	FullName string `sconf:"optional" sconf-doc:"Full name, to use in message From header when composing messages in webmail. Can be overridden per destination."`

	Destinations map[string]DestinationFields `sconf:"optional" sconf-doc:"Destinations, keys are full email addresses (with IDNA domains in Unicode). If the address is of the form '@domain', i.e. with localpart missing, it serves as a catchall for the domain, matching all messages that are not explicitly configured. With value 'nil', mail goes to the Inbox."`

	QuotaMessageSize int64 `sconf:"optional" sconf-doc:"Maximum total size in bytes of the messages of the account, overriding any default of mox.conf. Negative: no maximum."`

	MaxOutgoingMessagesPerDay int `sconf:"optional" sconf-doc:"Maximum number of outgoing messages for this account in a 24 hour window. This limits the damage to recipients and the reputation of this mail server in case of account compromise. Default 1000."`

	MaxFirstTimeRecipientsPerDay int `sconf:"optional" sconf-doc:"Maximum number of first-time recipients in outgoing messages for this account in a 24 hour window. This limits the damage to recipients and the reputation of this mail server in case of account compromise. Default 200."`

	IMAPCapabilitiesDisabled []string `sconf:"optional" sconf-doc:"IMAP capabilities that are not announced to clients of this account after login, to work around bugs in a client, e.g. IMAP4rev2."`

	CRAMMD5 bool `sconf:"optional" sconf-doc:"Allow login with CRAM-MD5, for old devices. The server must then keep what is as good as the password itself. After enabling it the password must be set again."`
}

// DestinationFields is one element of Destinations of an account in domains.conf.
type DestinationFields struct {
	Mailbox string `sconf:"optional" sconf-doc:"Mailbox to deliver to. It is created when missing. [Inbox]"`

	SMTPError string `sconf:"optional" sconf-doc:"If non-empty, incoming delivery attempts to this destination are refused during the SMTP transaction. The error must start with 421 or 550, optionally followed by a space and a text, e.g. \"550 no more mail here\". At most 255 printable ASCII characters. Not together with Mailbox."`

	FullName string `sconf:"optional" sconf-doc:"Full name to use in message From header when composing messages coming from this address with webmail."`
}
