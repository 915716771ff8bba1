// Package junk is a filter that learns from a user's mail what is junk for that user,
// and says why it thinks so. Each account has one, in a file of its own.
//
// [Read] makes [Tokens] of a message, once for all accounts: the words and pairs of
// words in its text and subject; two characters at a time for scripts that are written
// without spaces; addresses and names of the sender, the hosts of links, and what other
// fields say that the sender's software has written; and signs of how it is built, such
// as a name that claims another domain than the address, replies that go elsewhere,
// a link whose text names another host than it leads to, or letters of several scripts in
// one word. One more sign depends on the account: that no message of the sender's
// organisation was seen before. What servers and lists on the way add (Received,
// Return-Path, Delivered-To, List fields, footers of lists) is left out: it says where
// mail was read, not what it is. So are dates, charsets, transfer encodings and line
// ends.
//
// [Filter.Classify] adds up two views of the tokens. One is counts: of each token, in
// how many lessons about ham and junk it was, smoothed, where that is clear enough. The
// other is logistic regression, of which each lesson moves the weights as far as the
// message was judged wrongly; it does well from the first lessons on, and the counts do
// better after some hundred. The sum is compared with a cut that rises when ham was
// lost, and falls, much slower, when junk was missed; [Verdict.Probability] is the
// distance to it, so that the default threshold is met at the cut. Each token's part
// in the sum is known, and the strongest are named in the verdict.
//
// [Filter.Apply] takes [Lesson] values. They are idempotent by row: with the number of the
// last row of the account's journal that the lessons come from, which is written in the
// same commit as what they change, each row counts exactly once. A lesson can be taken
// back: its counts exactly, its influence on weights as far as it made them certain.
//
// A [Prior] is what is known before the first lessons. [DefaultPrior] comes with the
// program and is made by "make junkprior" from a public corpus: counts of tokens only,
// without those that would identify the corpus. It fades as lessons of the account
// arrive.
//
// The file is a bbolt database, from the hash of a token to its counts, weight and the
// last lesson it was in. It is bounded: when there are too many tokens, those go that
// came seldom, and not for long. The filter of an account stays open, and keeps a
// bounded number of tokens in memory.
//
// Of the parameters in the configuration of an account, Onegrams and Twograms choose
// single words and pairs (neither: both), MaxPower bounds what counts can say about one
// token, and TopWords is the number of words named in a verdict. Threegrams,
// IgnoreWords and RareWords are accepted and have no effect: the kind of score they were
// made for is gone. The threshold is [Options].Threshold.
//
// The package is not for deciding what happens to a message, nor does it know accounts,
// journals or flags. A [Filter] is safe for concurrent use; other values are not
// changed once they are made.
package junk
