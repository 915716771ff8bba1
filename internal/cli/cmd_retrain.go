package cli

import (
	"io"
	"strings"

	"mox/internal/ctl"
)

var cmdRetrain = command{
	words: "retrain",
	args:  "[account]",
	help: `Make the junk filter of an account anew from its messages.

All messages that have one of the flags $Junk and $NotJunk are learned, each once; what
the filter knew before is forgotten. Mail is judged by the old filter until the new one
is ready. Without an account, this is done for all that have a junk filter. Progress is
printed, and what the filter knows at the end. If the command is interrupted, the rest
is learned in the background. The server must be running.
`,
	setup: withServer(0, 1, func(e *env, c *ctl.Client, args []string) error {
		if err := c.Do("retrain", strings.Join(args, "")); err != nil {
			return err
		}
		_, err := io.Copy(e.out, c.StreamReader())
		return err
	}),
}
