package cli

import (
	"io"
	"strings"

	"mox/internal/ctl"
)

var cmdSearchRebuild = command{
	words: "search rebuild",
	args:  "[account]",
	help: `Make the text index of an account anew from its messages.

The index is what searches for text look into instead of messages. It is kept up to date
by itself, and made again if it is found to be damaged: this command is for when it finds
something else than is in the messages, or to get a smaller file after many messages were
removed. Searches read the messages until the index is ready. Without an account, this is
done for all. Progress is printed. If the command is interrupted, the rest is indexed in
the background. The server must be running.
`,
	setup: withServer(0, 1, func(e *env, c *ctl.Client, args []string) error {
		if err := c.Do("searchrebuild", strings.Join(args, "")); err != nil {
			return err
		}
		_, err := io.Copy(e.out, c.StreamReader())
		return err
	}),
}
