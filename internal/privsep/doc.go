// Package privsep runs the mail server without privileges although it is started as
// root, which binding low ports and reading keys needs.
//
// [Run] is what root does: it binds the sockets of the configuration, opens the files
// with keys, puts the permissions of its directories right, and starts the program
// again as the user that the configuration names, with the descriptors. After that it
// has no privileges but those for what is left to do: it forwards signals, opens the
// same files again on SIGHUP, and ends with the status of the child. It reads nothing
// that the child says. The child ends when it does.
//
// [Start] is the other side: [Child] has the sockets and files that were passed.
// [Confine] keeps a process to the files it needs, with Landlock. [Notify] tells
// systemd how the server is doing.
//
// Which files and sockets there are is known from the configuration alone, see
// [KeyFiles] and [Sockets]. Files that domains.conf names are opened as root only
// within the directory of the configuration: the child may write that file.
package privsep
