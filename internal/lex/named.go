package lex

// Core rules, RFC 5234 §B.1.
var (
	Octet  = Range(0x00, 0xff)                             // OCTET
	Char   = Range(0x01, 0x7f)                             // CHAR: US-ASCII without NUL.
	CTL    = Range(0x00, 0x1f).Union(Range(0x7f, 0x7f))    // CTL
	VChar  = Range(0x21, 0x7e)                             // VCHAR: visible characters.
	Alpha  = Range('A', 'Z').Union(Range('a', 'z'))        // ALPHA
	Digit  = Range('0', '9')                               // DIGIT
	HexDig = Digit.Union(Range('A', 'F'), Range('a', 'f')) // HEXDIG: ABNF strings match in both cases.
	WSP    = Bytes(" \t")                                  // WSP
	CRLF   = Bytes("\r\n")                                 // The two bytes of CRLF, as a set.
)

// Message format, RFC 5322 §3.2 and §2.2; trailing-8-bit variants are made by
// union with NonASCII (RFC 6532 §3.2).
var (
	AText = Alpha.Union(Digit, Bytes("!#$%&'*+-/=?^_`{|}~"))   // atext, RFC 5322 §3.2.3
	CText = Range(33, 39).Union(Range(42, 91), Range(93, 126)) // ctext, RFC 5322 §3.2.2
	QText = Range(33, 33).Union(Range(35, 91), Range(93, 126)) // qtext, RFC 5322 §3.2.4
	DText = Range(33, 90).Union(Range(94, 126))                // dtext, RFC 5322 §3.4.1
	FText = Range(33, 57).Union(Range(59, 126))                // ftext, header field names, RFC 5322 §3.6.8
	// ObsNoWSCTL is obs-NO-WS-CTL, RFC 5322 §4.1.
	ObsNoWSCTL = Range(1, 8).Union(Range(11, 12), Range(14, 31), Range(127, 127))
	// NonASCII are the bytes of multi-byte UTF-8 sequences, a superset of
	// UTF8-non-ascii (RFC 6532 §3.1); validity must be checked apart.
	NonASCII = Range(0x80, 0xff)
)

// SMTP, RFC 5321 §4.1.2 and §4.1.3.
var (
	LetDig       = Alpha.Union(Digit)                                 // Let-dig
	LDH          = LetDig.Union(Bytes("-"))                           // The bytes of Ldh-str
	QTextSMTP    = Range(32, 33).Union(Range(35, 91), Range(93, 126)) // qtextSMTP
	QPairSMTP    = Range(32, 126)                                     // The second byte of quoted-pairSMTP
	DContent     = Range(33, 90).Union(Range(94, 126))                // dcontent
	ESMTPKeyword = LDH                                                // Bytes of esmtp-keyword after its first, which is Let-dig.
	ESMTPValue   = Range(33, 60).Union(Range(62, 126))                // The bytes of esmtp-value
	XChar        = Range(33, 42).Union(Range(44, 60), Range(62, 126)) // xchar, RFC 3461 §4
	SMTPTextChar = Bytes("\t").Union(Range(32, 126))                  // The bytes of textstring, RFC 5321 §4.2
)

// MIME, RFC 2045 §5.1, RFC 2231 §7.
var (
	TSpecials     = Bytes("()<>@,;:\\\"/[]?=")               // tspecials
	Token         = Char.Without(CTL, Bytes(" "), TSpecials) // The bytes of token
	AttributeChar = Token.Without(Bytes("*'%"))              // attribute-char, RFC 2231 §7
	Base64Char    = Alpha.Union(Digit, Bytes("+/"))          // base64-char, RFC 9051 §9
	Base64URLChar = Alpha.Union(Digit, Bytes("-_"))          // RFC 4648 §5
	EncodedWord   = VChar.Without(Bytes("?"))                // encoded-text, RFC 2047 §2
)

// IMAP, RFC 9051 §9; the same rules in RFC 3501 §9 are equal.
var (
	ListWildcards = Bytes("%*")   // list-wildcards
	QuotedSpecial = Bytes("\"\\") // quoted-specials
	RespSpecial   = Bytes("]")    // resp-specials
	// AtomSpecial is atom-specials.
	AtomSpecial = Bytes("(){ ").Union(CTL, ListWildcards, QuotedSpecial, RespSpecial)
	AtomChar    = Char.Without(AtomSpecial)                  // ATOM-CHAR
	AStringChar = AtomChar.Union(RespSpecial)                // ASTRING-CHAR
	ListChar    = AtomChar.Union(ListWildcards, RespSpecial) // list-char
	TagChar     = AStringChar.Without(Bytes("+"))            // The bytes of tag
	TextChar    = Char.Without(CRLF)                         // TEXT-CHAR
	QuotedChar  = TextChar.Without(QuotedSpecial)            // QUOTED-CHAR without its escaped form and UTF-8
	KeywordChar = AtomChar                                   // The bytes of flag-keyword
)
