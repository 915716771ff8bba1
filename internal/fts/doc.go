// Package fts keeps the texts of the messages of an account, with an index that says
// which of them may contain a text: for searches that open no message.
//
// The meaning is that of substrings: a message matches if its text, folded as
// message.Fold does, has the pattern, folded the same way, anywhere in it. An [Index]
// has for each sequence of three octets (trigram) the messages that it occurs in. Those
// that have all trigrams of a pattern are candidates ([Index.Search], [Search.May]), and
// are verified against their texts ([Search.Match]), which are kept in compressed blocks
// of some 64 KiB. Of a pattern of less than three octets, or one that most messages may
// have, all texts are looked at, on all processors.
//
// Messages are known by content ids, which ascend and are never used again, and whose
// texts never change. They are added in that order, and everything below the mark
// ([Index.Mark]) is indexed: in the commit that adds a [Batch], the mark moves. So each
// message is added exactly once, whatever crashes in between. Texts that are too long
// to be kept, or could not be read, are noted as such ([Batch.Skip]), and are for the
// caller to read.
//
// An index is one bbolt file with derived data: it can be removed, and made again from
// the messages. Trigrams are written in segments, one for each batch, which are merged
// when there are several of about the same size. Removing a message removes its text at
// once, and its trigrams when its segment is merged next, or when a quarter of the
// messages of the segment are gone. Memory is bounded: by the limits on a batch, by
// maxCandidates for a search, and by pieces of a merge that are committed on their own.
//
// An Index is safe for concurrent use; there is one writer at a time, and readers do
// not wait for it. A Search is not safe for concurrent use.
//
// It does not know where messages come from, nor how they are read (mox/internal/search).
package fts
