package smtp

// Reply codes, RFC 5321 §4.2.3 and the extensions named with each.
const (
	C211SystemStatus           = 211
	C214Help                   = 214
	C220ServiceReady           = 220
	C221Closing                = 221
	C235AuthSuccess            = 235 // RFC 4954 §6
	C250Completed              = 250
	C251UserNotLocalWillForw   = 251
	C252CannotVerify           = 252
	C334ContinueAuth           = 334 // RFC 4954 §4
	C354StartMailInput         = 354
	C421ServiceUnavailable     = 421
	C432PasswordTransition     = 432 // RFC 4954 §6
	C450MailboxUnavailable     = 450
	C451LocalError             = 451
	C452InsufficientStorage    = 452
	C454TempAuthFailure        = 454 // RFC 4954 §6, RFC 3207 §4
	C455ParamsNotAccommodated  = 455
	C500BadSyntax              = 500
	C501BadParameters          = 501
	C502NotImplemented         = 502
	C503BadSequence            = 503
	C504ParameterNotImpl       = 504
	C521DoesNotAcceptMail      = 521 // RFC 7504 §3
	C523EncryptionNeeded       = 523 // RFC 5248 §2.4
	C525AccountDisabled        = 525 // RFC 5248 §2.4
	C530AuthRequired           = 530 // RFC 4954 §6, RFC 3207 §4
	C534MechanismTooWeak       = 534 // RFC 4954 §6
	C535AuthInvalid            = 535 // RFC 4954 §6
	C538EncryptionForMechanism = 538 // RFC 4954 §6
	C550MailboxUnavailable     = 550
	C551UserNotLocal           = 551
	C552ExceededStorage        = 552
	C553MailboxNameInvalid     = 553
	C554TransactionFailed      = 554
	C555ParamsNotRecognized    = 555
	C556DomainDoesNotAccept    = 556 // RFC 7504 §4
)

// Subjects and details of enhanced status codes, without the class, for use with
// [Errorf] and [Enhanced]. They are from RFC 3463 §3, and the RFCs named with each.
const (
	Se00Other = "0.0"

	Se10AddressOther          = "1.0"
	Se11BadMailbox            = "1.1"
	Se12BadSystem             = "1.2"
	Se13BadMailboxSyntax      = "1.3"
	Se14MailboxAmbiguous      = "1.4"
	Se15AddressValid          = "1.5"
	Se16MailboxMoved          = "1.6"
	Se17BadSenderSyntax       = "1.7"
	Se18BadSenderSystem       = "1.8"
	Se110NullMX               = "1.10" // RFC 7505 §4.1
	Se20MailboxOther          = "2.0"
	Se21MailboxDisabled       = "2.1"
	Se22MailboxFull           = "2.2"
	Se23MessageLengthExceeded = "2.3"
	Se24ListExpansion         = "2.4"

	Se30SystemOther         = "3.0"
	Se31SystemFull          = "3.1"
	Se32NotAccepting        = "3.2"
	Se33NotCapable          = "3.3"
	Se34MessageTooBig       = "3.4"
	Se35IncorrectlyConfig   = "3.5"
	Se40NetworkOther        = "4.0"
	Se41NoAnswer            = "4.1"
	Se42BadConnection       = "4.2"
	Se43DirectoryFailure    = "4.3"
	Se44UnableToRoute       = "4.4"
	Se45Congestion          = "4.5"
	Se46RoutingLoop         = "4.6"
	Se47DeliveryTimeExpired = "4.7"

	Se50ProtocolOther      = "5.0"
	Se51InvalidCommand     = "5.1"
	Se52Syntax             = "5.2"
	Se53TooManyRecipients  = "5.3"
	Se54InvalidArguments   = "5.4"
	Se55WrongVersion       = "5.5"
	Se56AuthExchangeTooBig = "5.6" // RFC 4954 §6

	Se60MediaOther                     = "6.0"
	Se61MediaNotSupported              = "6.1"
	Se62ConversionProhibited           = "6.2"
	Se63ConversionNotSupported         = "6.3"
	Se64ConversionWithLoss             = "6.4"
	Se65ConversionFailed               = "6.5"
	Se66ContentNotAvailable            = "6.6" // RFC 4468 §5
	Se67NonASCIIAddressesNotPermitted  = "6.7" // RFC 6531 §4.2
	Se68UTF8ReplyRequired              = "6.8" // RFC 6531 §4.2
	Se69UTF8HeaderNotTransferable      = "6.9" // RFC 6531 §4.2
	Se70SecurityOther                  = "7.0"
	Se71NotAuthorized                  = "7.1"
	Se72ListExpansionProhibited        = "7.2"
	Se73ConversionRequired             = "7.3"
	Se74FeaturesNotSupported           = "7.4"
	Se75CryptographicFailure           = "7.5"
	Se76AlgorithmNotSupported          = "7.6"
	Se77IntegrityFailure               = "7.7"
	Se78AuthCredentialsInvalid         = "7.8"  // RFC 4954 §6
	Se79MechanismTooWeak               = "7.9"  // RFC 4954 §6
	Se710EncryptionNeeded              = "7.10" // RFC 5248 §2.4
	Se711EncryptionForMechanism        = "7.11" // RFC 4954 §6
	Se712PasswordTransition            = "7.12" // RFC 4954 §6
	Se713AccountDisabled               = "7.13" // RFC 5248 §2.4
	Se714TrustRelationship             = "7.14" // RFC 5248 §2.4
	Se720NoPassingDKIM                 = "7.20" // RFC 7372 §3.1
	Se721NoAcceptableDKIM              = "7.21" // RFC 7372 §3.1
	Se722NoAuthorMatchedDKIM           = "7.22" // RFC 7372 §3.1
	Se723SPFFailed                     = "7.23" // RFC 7372 §3.2
	Se724SPFError                      = "7.24" // RFC 7372 §3.2
	Se725ReverseDNSFailed              = "7.25" // RFC 7372 §3.3
	Se726MultipleAuthenticationsFailed = "7.26" // RFC 7372 §3.4
	Se727SenderNullMX                  = "7.27" // RFC 7505 §4.2
	Se728MailFlood                     = "7.28" // IANA registry of enhanced status codes
	Se729ARCFailed                     = "7.29" // RFC 8617 §10.4
	Se730RequireTLS                    = "7.30" // RFC 8689 §7
)

// Enhanced returns the enhanced status code for a reply code and a subject and
// detail, with the class that the reply code has: Enhanced(550, "1.1") is "5.1.1".
// Without subject and detail, and for replies that have no class (3yz), it is
// empty.
func Enhanced(code int, subjectDetail string) string {
	class := code / 100
	if subjectDetail == "" || class != 2 && class != 4 && class != 5 {
		return ""
	}
	return string(rune('0'+class)) + "." + subjectDetail
}
