package junk

import "time"

// Limits on what is looked at of one message. What lies beyond a limit has no
// influence on the verdict; nothing is refused because of it.
const (
	// MaxText is the number of bytes of decoded text that are split into words, for
	// all parts of a message together.
	MaxText = 256 << 10
	// MaxPartText is the number of bytes of decoded text of one part, so that one long
	// part does not hide the others.
	MaxPartText = 128 << 10
	// MaxHTML is the number of bytes of HTML source of a part that are searched for
	// links and signs.
	MaxHTML = 256 << 10
	// MaxParts is the number of parts of a message that are read.
	MaxParts = 50
	// MaxTokens is the number of tokens of a message, counted before those that come
	// twice are taken together.
	MaxTokens = 16_000
	// MaxWord is the length in characters of a word; longer runs of letters only leave
	// a sign.
	MaxWord = 28
	// MaxFieldText is the number of bytes of a header field that are split into words.
	MaxFieldText = 2 << 10
	// MaxLinks is the number of links of a message that are taken apart.
	MaxLinks = 200
	// MaxLinkText is the number of bytes of a link's text that are compared with its
	// target.
	MaxLinkText = 256
	// MaxURL is the number of bytes of a URL that are looked at.
	MaxURL = 512
	// MaxFooterLines and MaxFooter are the number of lines and bytes at the end of a text
	// in which the footer of a mailing list is looked for.
	MaxFooterLines = 25
	MaxFooter      = 2 << 10
	// MaxAddresses is the number of addresses of a field that are looked at.
	MaxAddresses = 20
)

// Limits on a filter and its file.
const (
	// DefaultCacheWords is the number of words kept in memory for an open filter, some
	// 50 bytes each.
	DefaultCacheWords = 40_000
	// DefaultMaxWords is the number of words kept in the file, some 40 bytes each.
	DefaultMaxWords = 600_000
	// MaxLessons is the number of lessons that one Apply takes.
	MaxLessons = 10_000

	openTimeout = 5 * time.Second // For the lock of the file.
)
