package imapserver

import (
	"context"

	"mox/imap/wire"
)

// state is a state of a connection, or a set of states. RFC 9051 §3
type state uint8

const (
	notAuthenticated state = 1 << iota
	authenticated          // And no mailbox selected.
	selectedState

	anyState   = notAuthenticated | authenticated | selectedState
	loggedIn   = authenticated | selectedState
	inSelected = selectedState
)

// flags say what kind of command it is.
type flags uint8

const (
	// keepsSeqs: no EXPUNGE may be sent before its reply. RFC 9051 §7.5.1
	keepsSeqs flags = 1 << iota
	// changesMailbox: selects or closes a mailbox, so that nothing is told about the one
	// before, and all about the one after has been told by the command.
	changesMailbox
	// plaintext: carries a password that must not be sent without TLS. RFC 9051 §6.2.3
	plaintext
	// streams: reads more than its line, and reads to its end itself.
	streams
	// usesSeqs: has message sequence numbers among its arguments or in its responses, and
	// is refused with UIDONLY.
	usesSeqs
	// noLogArgs: has credentials in its arguments.
	noLogArgs
	// brief: is answered from memory for the most part, in much less than a millisecond. The
	// scheduler need not be told that it runs, see directConn. To open a file is announced.
	brief
)

// command is a row of the table.
type command struct {
	name   string
	states state
	flags  flags
	bind   binder
}

// runner runs a command whose arguments have been parsed.
type runner func(ctx context.Context) (reply, error)

// binder parses the arguments of a command from the connection's decoder, and returns
// what runs it.
type binder func(c *conn) runner

// onConn makes a binder of a parse and a run function of a command that needs no
// account.
func onConn[R any](parse func(*wire.Decoder) R, run func(context.Context, *conn, R) (reply, error)) binder {
	return func(c *conn) runner {
		req := parse(c.dec)
		return func(ctx context.Context) (reply, error) { return run(ctx, c, req) }
	}
}

// onSession is onConn for a command that needs an account.
func onSession[R any](parse func(*wire.Decoder) R, run func(context.Context, *session, R) (reply, error)) binder {
	return func(c *conn) runner {
		req := parse(c.dec)
		checkRefused(c, req)
		return func(ctx context.Context) (reply, error) { return run(ctx, c.sess, req) }
	}
}

// onSelected is onConn for a command that needs a selected mailbox.
func onSelected[R any](parse func(*wire.Decoder) R, run func(context.Context, *selected, R) (reply, error)) binder {
	return func(c *conn) runner {
		req := parse(c.dec)
		checkRefused(c, req)
		return func(ctx context.Context) (reply, error) { return run(ctx, c.sess.sel, req) }
	}
}

// refusable is a request with effects even if its arguments are refused.
type refusable interface{ refused(c *conn, err error) }

// checkRefused tells a request if its arguments are refused. Only then is it asked whether it
// wants to know: that takes longer than parsing, the first time for each type.
func checkRefused[R any](c *conn, req R) {
	err := c.decoded()
	if err == nil {
		return
	}
	if r, ok := any(req).(refusable); ok {
		r.refused(c, err)
	}
}

// noArgs parses the arguments of a command that has none.
func noArgs(*wire.Decoder) struct{} { return struct{}{} }

// The table of commands. What justifies its flags:
//
// RFC 9051 §7.5.1: "An EXPUNGE response MUST NOT be sent when no command is in progress,
// nor while responding to a FETCH, STORE, or SEARCH command. [...] UID FETCH, UID STORE,
// and UID SEARCH are different commands from FETCH, STORE, and SEARCH. An EXPUNGE
// response MAY be sent during a UID command." So: keepsSeqs on those three, and on SORT and
// THREAD (RFC 5256 §3), which are searches whose results have an order.
//
// RFC 9586 §3.2: "When UIDONLY is enabled, the FETCH, STORE, SEARCH, COPY, and MOVE
// commands are prohibited and MUST result in a tagged BAD response." §3.8 says the same of
// SORT and THREAD. So: usesSeqs on these.
//
// RFC 9051 §6.3.2: "The SELECT command automatically deselects any currently selected
// mailbox before attempting the new selection." CLOSE, UNSELECT, UNAUTHENTICATE and LOGOUT
// leave none. So: changesMailbox on these.
//
// RFC 9051 §6.2.3: unless passwords are protected, "a server implementation MUST
// implement a configuration in which it advertises the LOGINDISABLED capability and does
// NOT permit the LOGIN command." So: plaintext on LOGIN; AUTHENTICATE decides by
// mechanism.
//
// RFC 9051 §6.3.12: the message of APPEND follows a continuation request, and there may
// be several (RFC 3502); so does that of REPLACE (RFC 8508 §3.2). AUTHENTICATE (§6.2.2) and IDLE (§6.3.13) read lines that are no
// commands; what follows STARTTLS is none either (§6.2.1), nor is what follows COMPRESS
// (RFC 4978 §3). So: streams on these.
func commandTable() []command {
	return []command{
		// Any state. RFC 9051 §6.1
		{"CAPABILITY", anyState, brief, onConn(noArgs, runCapability)},
		{"NOOP", anyState, brief, onConn(noArgs, runNoop)},
		{"LOGOUT", anyState, changesMailbox, onConn(noArgs, runLogout)},
		{"ID", anyState, brief, onConn(parseID, runID)},

		// Not authenticated. RFC 9051 §6.2
		{"STARTTLS", notAuthenticated, streams, onConn(noArgs, runStartTLS)},
		{"AUTHENTICATE", notAuthenticated, streams | noLogArgs, onConn(parseAuthenticate, runAuthenticate)},
		{"LOGIN", notAuthenticated, plaintext | noLogArgs, onConn(parseLogin, runLogin)},

		// Authenticated. RFC 9051 §6.3
		{"UNAUTHENTICATE", loggedIn, changesMailbox, onSession(noArgs, runUnauthenticate)}, // RFC 8437
		{"COMPRESS", loggedIn, streams, onSession(parseCompress, runCompress)},
		{"ENABLE", loggedIn, 0, onSession(parseEnable, runEnable)},
		{"SELECT", loggedIn, brief | changesMailbox, onSession(parseSelect, runSelect)},
		{"EXAMINE", loggedIn, brief | changesMailbox, onSession(parseSelect, runExamine)},
		{"CREATE", loggedIn, 0, onSession(parseCreate, runCreate)},
		{"DELETE", loggedIn, 0, onSession(parseMailbox, runDelete)},
		{"RENAME", loggedIn, 0, onSession(parseRename, runRename)},
		{"SUBSCRIBE", loggedIn, 0, onSession(parseMailbox, runSubscribe)},
		{"UNSUBSCRIBE", loggedIn, 0, onSession(parseMailbox, runUnsubscribe)},
		{"LIST", loggedIn, brief, onSession(parseList, runList)},
		{"LSUB", loggedIn, brief, onSession(parseLSub, runLSub)},
		{"NAMESPACE", loggedIn, brief, onSession(noArgs, runNamespace)},
		{"STATUS", loggedIn, brief, onSession(parseStatus, runStatus)},
		{"APPEND", loggedIn, streams, onSession(parseMailbox, runAppend)},
		{"RESETKEY", loggedIn, 0, onSession(parseResetKey, runResetKey)},
		{"GENURLAUTH", loggedIn, 0, onSession(parseGenURLAuth, runGenURLAuth)},
		{"URLFETCH", loggedIn, noLogArgs, onSession(parseURLFetch, runURLFetch)},
		{"NOTIFY", loggedIn, 0, onSession(parseNotify, runNotify)},
		{"IDLE", loggedIn, streams, onSession(noArgs, runIdle)},
		{"ESEARCH", loggedIn, 0, onSession(parseESearch, runESearch)},
		{"GETMETADATA", loggedIn, 0, onSession(parseGetMetadata, runGetMetadata)},
		{"SETMETADATA", loggedIn, 0, onSession(parseSetMetadata, runSetMetadata)},
		{"GETQUOTA", loggedIn, 0, onSession(parseQuotaRoot, runGetQuota)},
		{"GETQUOTAROOT", loggedIn, 0, onSession(parseMailbox, runGetQuotaRoot)},

		// Selected. RFC 9051 §6.4, RFC 3501 §6.4.1
		{"CHECK", inSelected, brief, onSelected(noArgs, runCheck)},
		{"CLOSE", inSelected, changesMailbox, onSelected(noArgs, runClose)},
		{"UNSELECT", inSelected, changesMailbox, onSelected(noArgs, runUnselect)},
		{"EXPUNGE", inSelected, 0, onSelected(noArgs, runExpunge)},
		{"SEARCH", inSelected, keepsSeqs | usesSeqs, onSelected(parseSearch, runSearch)},
		{"SORT", inSelected, keepsSeqs | usesSeqs, onSelected(parseSort, runSearch)},
		{"THREAD", inSelected, keepsSeqs | usesSeqs, onSelected(parseThread, runThread)},
		{"FETCH", inSelected, keepsSeqs | usesSeqs, onSelected(parseFetch, runFetch)},
		{"STORE", inSelected, keepsSeqs | usesSeqs, onSelected(parseStore, runStore)},
		{"CANCELUPDATE", inSelected, 0, onSelected(parseCancelUpdate, runCancelUpdate)},
		{"COPY", inSelected, usesSeqs, onSelected(parseCopy, runCopy)},
		{"MOVE", inSelected, usesSeqs, onSelected(parseCopy, runMove)},
		{"REPLACE", inSelected, usesSeqs | streams, onSelected(parseReplace, runReplace)},
		{"UID EXPUNGE", inSelected, 0, onSelected(parseUIDExpunge, runUIDExpunge)},
		{"UID SEARCH", inSelected, 0, onSelected(uid(parseSearch), runSearch)},
		{"UID SORT", inSelected, 0, onSelected(uid(parseSort), runSearch)},
		{"UID THREAD", inSelected, 0, onSelected(uid(parseThread), runThread)},
		{"UID FETCH", inSelected, 0, onSelected(uid(parseFetch), runFetch)},
		{"UID STORE", inSelected, 0, onSelected(uid(parseStore), runStore)},
		{"UID COPY", inSelected, 0, onSelected(uid(parseCopy), runCopy)},
		{"UID MOVE", inSelected, 0, onSelected(uid(parseCopy), runMove)},
		{"UID REPLACE", inSelected, streams, onSelected(uid(parseReplace), runReplace)},
	}
}

// uidRequest is a request whose numbers are UIDs or message sequence numbers.
type uidRequest interface{ setUID() }

// uid makes the parse function of a UID command from that of the command. RFC 9051
// §6.4.9
func uid[R uidRequest](parse func(*wire.Decoder) R) func(*wire.Decoder) R {
	return func(d *wire.Decoder) R {
		req := parse(d)
		req.setUID()
		return req
	}
}

// byName returns the table by name.
func byName(rows []command) map[string]*command {
	m := make(map[string]*command, len(rows))
	for i := range rows {
		m[rows[i].name] = &rows[i]
	}
	return m
}
