// Package cli is the command line of mox: one file cmd_*.go for each command, and
// one table of them in commands.go.
//
// [Main] parses the global flags, finds the command, runs it, and returns the exit
// code: 0 if all is well, 1 after an error, which is printed in words for a person
// who has to do something about it, and 2 if the command line is wrong. A server
// that a signal has stopped returns the number of the signal.
//
// Commands do their work in other packages; what they need of the running server
// they ask for on its control socket (package ctl). Help texts come from the table
// and from the flags that a command defines, so that they cannot differ from what
// it does.
package cli
