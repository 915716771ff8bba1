// Package ctl is the protocol by which commands talk to the running server, over
// the unix socket "ctl" in the data directory. Who can write to the socket may do
// everything: permissions of the file are the only check.
//
// The server greets with the line "ctlv0". A command is a line with its name,
// followed by a line for each parameter. The answer is the line "ok", or a line
// that says what is wrong. Some commands go on with results as lines or as a
// stream of data, in either direction: chunks of a line with the size in octets
// and that many octets, each answered with "ok" or an error by who receives it,
// and at the end a chunk of size 0. A connection can be used for several commands,
// one after another.
//
// [Server] runs commands from a table that package daemon declares; a [Client] is
// for package cli. What a command does is not known here. A Server is safe for
// concurrent use, a [Conn] and a Client are not.
package ctl
