// Package mlog is a slog handler for the logs of a mail server: logfmt lines with
// a connection id, levels per package that can change while running, protocol
// transcripts at trace levels, and values that are redacted by their type.
//
// A line looks like this:
//
//	l=info m="delivered message" pkg=smtpserver cid=1f2 size=1234 from=☺.example/xn--74h.example
//
// Make one [Handler] per process with [NewHandler] and a logger per package with
// [New]. [WithCid] and [Cid] carry the id of a connection, session, request or
// queue attempt in a context; the id is added to lines logged with that context,
// and to those of a logger made with [WithCidLogger]. Ids are shown to remote
// parties only as encrypted by a [CidCipher].
//
// What must not be in a log is given a type, [Secret], or goes through [Trace]
// with a level of its own. The handler calls LogValue methods, so packages decide
// how their types look.
//
// There is no package state: levels live in a [Levels] value, ids come from a
// [CidSource]. Everything is safe for concurrent use.
package mlog
