package cli

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"mox/config"
	"mox/internal/daemon"
)

var cmdCid = command{
	words: "cid",
	args:  "id ...",
	help: `Print the connection ids in the log for ids that others have seen.

Received fields of messages, "id ..." in them, and texts of errors, "(id ...)", have an
id that says nothing to others. With the key in the data directory it becomes the one
in the log, after cid=, which is on all lines about a connection.

	mox cid 3vzX0y3q4nCqIuZ0J7vN5g
	grep cid=18f3c2a1b07 /var/log/mox.log
`,
	setup:  func(*flag.FlagSet) runFunc { return runCid },
	dashed: true,
}

func runCid(_ context.Context, e *env, args []string) error {
	if len(args) == 0 {
		return usageError("")
	}
	dir, err := config.DataDir(e.configPath)
	if err != nil {
		return err
	}
	cipher, err := daemon.CidCipher(dir)
	if err != nil {
		return err
	}
	for _, arg := range args {
		id := strings.TrimPrefix(strings.Trim(arg, "();"), "id ")
		cid, err := cipher.Decode(id)
		if err != nil {
			return fmt.Errorf("%q is not an id that this server gave out, or its key in %s was replaced since", id, dir)
		}
		if _, err := fmt.Fprintf(e.out, "%x\n", cid); err != nil {
			return err
		}
	}
	return nil
}
