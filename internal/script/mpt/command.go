package mpt

import (
	"slices"
	"strings"
)

// Commands with mailbox names: in all arguments, in the first, or in the last.
var (
	namesInAll   = []string{"CREATE", "DELETE", "RENAME", "SUBSCRIBE", "UNSUBSCRIBE", "SELECT", "EXAMINE", "LIST", "LSUB", "XLIST"}
	namesInFirst = []string{"STATUS", "APPEND", "GETQUOTAROOT"}
	namesInLast  = []string{"COPY", "MOVE"}
)

// delimitCommand changes the hierarchy delimiter in the mailbox names of a command.
func delimitCommand(s string, delim byte) string {
	tag, rest, ok := strings.Cut(s, " ")
	if !ok {
		return s
	}
	name, args, _ := strings.Cut(rest, " ")
	head := tag + " " + name + " "
	if strings.EqualFold(name, "UID") {
		name, args, _ = strings.Cut(args, " ")
		head += name + " "
	}
	change := func(s string) string { return strings.ReplaceAll(s, ".", string(delim)) }
	switch up := strings.ToUpper(name); {
	case args == "":
		return s
	case slices.Contains(namesInAll, up):
		return head + change(args)
	case slices.Contains(namesInFirst, up):
		i := strings.IndexByte(args, ' ')
		if strings.HasPrefix(args, `"`) {
			i = strings.IndexByte(args[1:], '"') + 1
		}
		if i < 0 {
			i = len(args)
		}
		return head + change(args[:i]) + args[i:]
	case slices.Contains(namesInLast, up):
		i := strings.LastIndexByte(args, ' ')
		return head + args[:i+1] + change(args[i+1:])
	}
	return s
}
