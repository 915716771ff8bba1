// Package daemon puts the parts of the mail server together and runs them: it reads
// the configuration, opens the store and the queue, binds the listeners, starts
// the servers, answers commands on the control socket, and stops all of it in
// order.
//
// [Start] returns a running [Daemon]; [Daemon.Wait] runs it until it is told to
// stop. A data directory is used by one daemon at a time. [InitLocalserve] makes
// the configuration of a server for trying things out.
//
// The order of starting is that of the import graph, and that of stopping is the
// reverse: listeners close first, sessions and deliveries get a few seconds, the
// databases close when nothing uses them any more, and the control socket goes
// last, so that who waits on it for the server to stop may start the next one.
//
// Nothing here knows a protocol, or what becomes of a message. A Daemon is safe
// for concurrent use.
package daemon
