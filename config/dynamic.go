package config

import "time"

// Dynamic is the content of domains.conf, field by field. Zero values of optional
// fields stand for the defaults in brackets in the documentation.
type Dynamic struct {
	Domains map[string]DomainFields `sconf-doc:"The format of this file: one field a line, as name, colon, space and value. What belongs to a field is indented below it with tabs. A line that starts with # is a comment. Values have no quotes and no escapes.\n\n\nDomains that mail is accepted for. Names beyond ASCII are written in Unicode, and all in lower case."`

	Accounts map[string]AccountFields `sconf-doc:"Accounts, by name. An account has mail, a password, and any number of addresses. Its name is that of its directory, and no address."`

	Routes []RouteFields `sconf:"optional" sconf-doc:"Which mail leaves the queue by which of Transports in mox.conf. Before each attempt the first that matches is taken, of those of the account that sends, then of the domain of the sender, then of these. Mail that none matches is delivered directly. Mail to domains of this server never leaves it."`

	WebDomainRedirects map[string]string `sconf:"optional" sconf-doc:"Domains whose requests are redirected, for good, to the same URL with HTTPS at another domain, such as www.example.org to example.org. They come before WebHandlers."`

	WebHandlers []WebHandlerFields `sconf:"optional" sconf-doc:"What listeners with WebserverHTTP and WebserverHTTPS answer. The first handler that matches domain and path of a request is used."`

	MonitorDNSBLs []string `sconf:"optional" sconf-doc:"Lists of IP addresses that spam came from, as zones in DNS, on which the public addresses of this server are looked up every few hours, for metric mox_dnsbl_ips_success and the log. Those in DNSBLs of listeners are looked up too. Mail is not refused because of the lists here."`
}

// DomainFields is one element of Domains in domains.conf.
type DomainFields struct {
	Disabled bool `sconf:"optional" sconf-doc:"Refuse mail for the domain, and mail from it, with temporary errors, for instance while its mail is being moved here. Logging in with its addresses works."`

	Description string `sconf:"optional" sconf-doc:"Any text, for the operator."`

	DNSProvider string `sconf:"optional" sconf-doc:"Which of DNSProviders in mox.conf has the DNS records of the domain. If absent, you write them yourself."`

	ClientSettingsDomain string `sconf:"optional" sconf-doc:"Name that mail programs of users connect to, such as mail.example.org, which must point to this server. With a name in the domain itself, mail programs can stay as they are when the domain moves to another server. [hostname of the listener]"`

	LocalpartCatchallSeparator string `sconf:"optional" sconf-doc:"What follows this in the localpart of an address does not count. With + as separator, mail for ann+shop@example.org goes to ann@example.org."`

	LocalpartCatchallSeparators []string `sconf:"optional" sconf-doc:"As LocalpartCatchallSeparator, for more than one of them; only one of the fields can be used. Where the server makes up an address, it uses the first."`

	LocalpartCaseSensitive bool `sconf:"optional" sconf-doc:"Upper and lower case make different localparts in this domain."`

	DKIM *DKIMFields `sconf:"optional" sconf-doc:"Sign messages with this domain in From, so that receivers can see that they are from here and unchanged. The keys must be in DNS. If absent, messages are not signed."`

	DMARC *ReportFields `sconf:"optional" sconf-doc:"Where other servers send their reports about mail from this domain (DMARC aggregate reports). The address must also be in the DMARC record of the domain, as rua."`

	MTASTS *MTASTSFields `sconf:"optional" sconf-doc:"Policy that tells other mail servers to deliver to this domain with verified TLS only (MTA-STS). It is served at mta-sts.<domain>, by a listener with MTASTSHTTPS, and the domain must have an MTA-STS record in DNS."`

	TLSRPT *ReportFields `sconf:"optional" sconf-doc:"Where other servers send their reports about TLS connections for mail to this domain (TLS reports). The address must also be in the TLSRPT record of the domain, as rua."`

	Routes []RouteFields `sconf:"optional" sconf-doc:"Which mail with senders in this domain leaves the queue by which of Transports in mox.conf."`

	Aliases map[string]AliasFields `sconf:"optional" sconf-doc:"Addresses with several members, each of whom gets a copy of mail for the address, by localpart."`
}

// DKIMFields is the section DKIM of a domain in domains.conf.
type DKIMFields struct {
	Selectors map[string]SelectorFields `sconf-doc:"Keys, by name. The public key of a name is in DNS in a TXT record at <name>._domainkey.<domain>, which mox dkim txt prints. Names beyond ASCII are written in Unicode."`

	Sign []string `sconf:"optional" sconf-doc:"Names in Selectors of the keys to sign with. Each adds a signature: one with an RSA key for all receivers, and one with an Ed25519 key for those who know that, are a good choice. Others in Selectors are not used yet, or not any more."`

	Rotation *DKIMRotationFields `sconf:"optional" sconf-doc:"A change to new keys that has been begun, written by mox config dkim rotate."`
}

// SelectorFields is one element of Selectors in section DKIM in domains.conf.
type SelectorFields struct {
	Hash string `sconf:"optional" sconf-doc:"Hash of signatures. There is only one that receivers accept. [sha256]"`

	Canonicalization CanonicalizationFields `sconf:"optional" sconf-doc:"Which changes on the way to the receiver a signature survives. Relaxed allows other white space, which some servers make."`

	Headers []string `sconf:"optional" sconf-doc:"Header fields to sign, instead of the usual ones. From must be among them. [From, To, Cc, Bcc, Reply-To, References, In-Reply-To, Subject, Date, Message-ID, MIME-Version, Content-Type and Content-Transfer-Encoding, and if a message has them some others such as Sender and List-Unsubscribe]"`

	DontSealHeaders bool `sconf:"optional" sconf-doc:"Let others add further header fields with the names of signed ones, which a reader may see instead. For mailing lists that need it."`

	Expiration time.Duration `sconf:"optional" sconf-doc:"For how long after signing receivers should accept a signature, such as 72h, so that old messages cannot be sent again by others. If absent, without limit."`

	PrivateKeyFile string `sconf-doc:"File with the private key, RSA with at least 1024 bits or Ed25519, in PEM format of PKCS #8, as mox dkim genrsa and mox dkim gened25519 make it. A relative path starts at the directory of this file."`
}

// CanonicalizationFields is the section Canonicalization of a selector.
type CanonicalizationFields struct {
	HeaderRelaxed *bool `sconf:"optional" sconf-doc:"For the header. [true]"`
	BodyRelaxed   *bool `sconf:"optional" sconf-doc:"For the body. [true]"`
}

// ReportFields is a section DMARC or TLSRPT of a domain in domains.conf.
type ReportFields struct {
	Localpart string `sconf-doc:"Localpart of the address, in ASCII, such as dmarcreports or tlsreports. Mail for it is for nothing but reports, so it cannot be the address of anyone."`

	Domain string `sconf:"optional" sconf-doc:"Domain of the address, if not this one. Must be one of Domains. For a domain whose mail is handled elsewhere, with reports coming here."`

	Account string `sconf-doc:"Account that gets the mail with the reports."`

	Mailbox string `sconf-doc:"Mailbox for the reports, such as DMARC or TLSRPT. It is created when missing."`
}

// AliasFields is one element of Aliases of a domain in domains.conf.
type AliasFields struct {
	Addresses []string `sconf-doc:"Addresses of the members: addresses of accounts, complete with domain. At most 1000."`

	ForwardTo []string `sconf:"optional" sconf-doc:"Members elsewhere: addresses at other mail servers, to which mail is forwarded that a member in Addresses takes and that is not junk. Bounces go to the sender, by way of this server. Each gets at most 300 messages an hour and 2000 a day; who sends more is asked to send it again later. At most 20."`

	PostPublic bool `sconf:"optional" sconf-doc:"Everyone can write to the address, not only its members."`

	ListMembers bool `sconf:"optional" sconf-doc:"Members can see who the other members are."`

	AllowMsgFrom bool `sconf:"optional" sconf-doc:"Members can send mail from the address."`
}

// AccountFields is one element of Accounts in domains.conf.
type AccountFields struct {
	LoginDisabled string `sconf:"optional" sconf-doc:"If not empty, logging in fails with this text, for instance while mail is being moved; mail is still delivered. At most 255 characters of printable ASCII."`

	Domain string `sconf-doc:"Domain of the account, for addresses that the server makes up. Must be one of Domains."`

	Description string `sconf:"optional" sconf-doc:"Any text, for the operator, such as who to call."`

	Destinations map[string]DestinationFields `sconf:"optional" sconf-doc:"Addresses of the account, with what becomes of mail for them. An address without localpart, @example.org, gets all mail of the domain that no other address gets. With nil as value, mail goes to Inbox."`

	RejectsMailbox string `sconf:"optional" sconf-doc:"Mailbox that gets a copy of each message that was refused because of who it is from, so that you can see what you miss; Rejects is a good name. Cannot be Inbox. A copy goes away after 14 days, when 1000 newer ones are there, and when the message is accepted later. If absent, there are no copies."`

	KeepRejects bool `sconf:"optional" sconf-doc:"Keep all copies in RejectsMailbox."`

	Introbox string `sconf:"optional" sconf-doc:"Mailbox for mail that would go to Inbox and is from someone you have had no mail from and have sent none to; Introbox is a good name. Moving a message from it to Inbox lets further mail from there go to Inbox. Cannot be Inbox or RejectsMailbox."`

	JunkDelivery string `sconf:"optional" sconf-doc:"What becomes of mail that is judged to be junk: reject refuses it, with a copy in RejectsMailbox, so that a sender whose mail is not junk learns about it; junk delivers it to the mailbox for junk. [reject]"`

	JunkFilter *JunkFilterFields `sconf:"optional" sconf-doc:"Judge messages of senders that are not known yet by their content. What is junk for this account is learned from messages flagged as junk and as not junk. If absent, content does not count."`

	AutomaticJunkFlags AutomaticJunkFlagsFields `sconf:"optional" sconf-doc:"Flag messages as junk or not junk by the mailbox they are delivered, moved or copied to, so that the junk filter learns without further ado. Each field is a regular expression for names of mailboxes, in lower case; they are tried in the order given here. If just one of them is empty, all names that match none of the others count for it. A mailbox with the special use Junk is always for junk."`

	SubjectPass SubjectPassFields `sconf:"optional" sconf-doc:"A way for senders whose message was refused as junk: the error has a text that lets the message pass when it is sent again with it in the subject. Only for senders that passed DMARC and that nothing is known about."`

	NoFirstTimeSenderDelay bool `sconf:"optional" sconf-doc:"Take mail of senders that are not known yet without the delay that listeners have for it (FirstTimeSenderDelay)."`

	TrustedForwarders []string `sconf:"optional" sconf-doc:"Domains of forwarding services and mailing lists you use and trust. What they say in ARC headers about the checks of a message as it came to them is believed, because forwarding can make checks fail."`

	QuotaMessageSize int64 `sconf:"optional" sconf-doc:"How large the messages of the account may be together, in bytes, instead of what mox.conf says. Negative: no limit."`

	QuotaMessages int64 `sconf:"optional" sconf-doc:"How many messages the account may have, instead of what mox.conf says. Negative: no limit."`

	UndeleteWindow time.Duration `sconf:"optional" sconf-doc:"For how long messages that were deleted can be brought back, by mox undelete, instead of what mox.conf says. Negative: not at all."`

	UndeleteSize int64 `sconf:"optional" sconf-doc:"How many bytes of deleted messages are kept for that, instead of what mox.conf says."`

	Retention map[string]int `sconf:"optional" sconf-doc:"Mailboxes whose messages are deleted after some days, with the number of days since a message came into the mailbox, such as Trash with 30. It is the name of one mailbox, and not of those below it. If the mailbox is renamed, nothing in it is deleted any more. What was deleted can be brought back for UndeleteWindow. If absent, nothing is deleted."`

	MaxOutgoingMessagesPerDay int `sconf:"optional" sconf-doc:"To how many recipients the account can send in 24 hours, which limits the damage when someone else got hold of the password. [1000]"`

	MaxFirstTimeRecipientsPerDay int `sconf:"optional" sconf-doc:"To how many recipients that it has never sent to before the account can send in 24 hours. [200]"`

	Routes []RouteFields `sconf:"optional" sconf-doc:"Which mail of the account leaves the queue by which of Transports in mox.conf."`

	KeepRetiredMessagePeriod time.Duration `sconf:"optional" sconf-doc:"For how long it is kept what became of messages that were sent, with all attempts, such as 168h. Notifications about them that come later are recorded there. If absent, not at all."`

	FromIDLoginAddresses []string `sconf:"optional" sconf-doc:"Addresses that programs log in with whose messages get an address with an id of their own as sender, ann+id@example.org, so that errors that come back tell which message they are about. They must be Destinations in a domain with LocalpartCatchallSeparator."`

	CRAMMD5 bool `sconf:"optional" sconf-doc:"Let the account log in with CRAM-MD5, for devices that know nothing better. For that the server keeps what is as good as the password itself. The password must be set again after this was changed."`
}

// DestinationFields is one element of Destinations of an account in domains.conf.
type DestinationFields struct {
	Mailbox string `sconf:"optional" sconf-doc:"Mailbox for mail to the address. It is created when missing. [Inbox]"`

	Rulesets []RulesetFields `sconf:"optional" sconf-doc:"Rules for messages to the address, such as those of a mailing list. The first that matches is used."`

	ForwardTo []string `sconf:"optional" sconf-doc:"Addresses at other mail servers to forward mail for the address to. Only mail is forwarded that is accepted and not junk, and with a sender address of this server, so that it passes SPF; bounces go to the sender, by way of this server. Each gets at most 300 messages an hour and 2000 a day; what is more stays in the mailbox. At most 20. For addresses of this server, make an alias."`

	ForwardOnly bool `sconf:"optional" sconf-doc:"Keep no copy of what is forwarded. Of mail that cannot be forwarded, that may be junk, or that notifies about other mail, there is always one. Needs ForwardTo."`

	SMTPError string `sconf:"optional" sconf-doc:"Refuse mail for the address: 421 for the time being, 550 for good, with a text after a space if you like, such as 550 no longer with us. At most 255 characters of printable ASCII. Excludes Mailbox, Rulesets and ForwardTo."`

	MessageAuthRequiredSMTPError string `sconf:"optional" sconf-doc:"If not empty, messages whose From address is not proven by SPF or DKIM are refused, with this text. For addresses that react to mail, such as those of software. At most 255 characters of printable ASCII."`
}

// RulesetFields is one element of Rulesets of a destination in domains.conf.
type RulesetFields struct {
	SMTPMailFromRegexp string `sconf:"optional" sconf-doc:"Regular expression (in the syntax of RE2) that must match the address in MAIL FROM, where errors about the message go, such as ^list-bounces@lists\\.example\\.org$"`

	MsgFromRegexp string `sconf:"optional" sconf-doc:"Regular expression that must match the address in the From header."`

	VerifiedDomain string `sconf:"optional" sconf-doc:"Domain that must be proven, or a domain below it, by SPF or DKIM."`

	HeadersRegexp map[string]string `sconf:"optional" sconf-doc:"Regular expressions for names of header fields, each with one for its value. Each must match a field of the message. Names and values are in lower case and without space around them when they are compared, so the expressions must be in lower case too. Example: ^list-id$ with ^<name\\.lists\\.example\\.org>$"`

	IsForward bool `sconf:"optional" sconf-doc:"The messages are forwarded by a server that does not change who they are from. Its IP addresses and domains do not count in the checks, and its messages are not refused for a DMARC policy, which forwarding can break. Needs SMTPMailFromRegexp and VerifiedDomain."`

	ListAllowDomain string `sconf:"optional" sconf-doc:"Domain of a mailing list: if it or a domain below it is proven by SPF or DKIM, messages are taken without further checks, also where DMARC fails, because mailing lists change messages. Not together with IsForward."`

	AcceptRejectsToMailbox string `sconf:"optional" sconf-doc:"Take messages that would be refused, and put them into this mailbox. For mail that is not to be lost in any case, where refusing would harm, such as that of a mailing list that unsubscribes. Cannot be Inbox."`

	Mailbox string `sconf-doc:"Mailbox for the messages. It is created when missing."`

	Comment string `sconf:"optional" sconf-doc:"Any text, for whoever wrote the rule."`
}

// JunkFilterFields is the JunkFilter section of an account in domains.conf.
type JunkFilterFields struct {
	Threshold float64 `sconf:"optional" sconf-doc:"Probability, below 1, from which on a message is junk. [0.95]"`

	Params JunkParamsFields `sconf:"optional" sconf-doc:"How probabilities are computed. The defaults are good."`
}

// JunkParamsFields is the Params section of a JunkFilter in domains.conf.
type JunkParamsFields struct {
	Onegrams    bool    `sconf:"optional" sconf-doc:"Look at single words. If neither this nor Twograms is set, both are."`
	Twograms    bool    `sconf:"optional" sconf-doc:"Look at pairs of words."`
	Threegrams  bool    `sconf:"optional" sconf-doc:"Accepted, without effect."`
	MaxPower    float64 `sconf:"optional" sconf-doc:"No word makes a message junk with a probability nearer to 0 or 1 than this. Below 0.5. Zero: a value that fits all else."`
	TopWords    int     `sconf:"optional" sconf-doc:"How many words are named as reasons, for junk and for not junk each. [10]"`
	IgnoreWords float64 `sconf:"optional" sconf-doc:"Accepted, without effect. Below 0.5."`
	RareWords   int     `sconf:"optional" sconf-doc:"Accepted, without effect."`
}

// AutomaticJunkFlagsFields is the AutomaticJunkFlags section of an account in
// domains.conf.
type AutomaticJunkFlagsFields struct {
	Enabled              bool   `sconf-doc:"If not set, messages keep their flags."`
	JunkMailboxRegexp    string `sconf:"optional" sconf-doc:"Mailboxes for junk, such as ^(junk|spam)."`
	NeutralMailboxRegexp string `sconf:"optional" sconf-doc:"Mailboxes that say nothing about their messages, such as ^(inbox|introbox|neutral|postmaster|dmarc|tlsrpt|rejects)."`
	NotJunkMailboxRegexp string `sconf:"optional" sconf-doc:"Mailboxes for what is not junk."`
}

// SubjectPassFields is the SubjectPass section of an account in domains.conf.
type SubjectPassFields struct {
	Period time.Duration `sconf-doc:"For how long a text can be used, such as 12h. Zero: no such texts."`
}
