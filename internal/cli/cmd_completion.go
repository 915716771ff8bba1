package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
)

// cmdCompletion is a function because it refers to the table that it is in.
func cmdCompletion() command {
	return command{
		words: "completion",
		args:  "bash|zsh|fish",
		help: `Print a script that lets a shell complete commands and flags.

	source <(mox completion bash)
	mox completion zsh >/usr/local/share/zsh/site-functions/_mox
	mox completion fish >~/.config/fish/completions/mox.fish

For all users of bash, the script can be in /usr/share/bash-completion/completions/mox.
`,
		setup: func(*flag.FlagSet) runFunc { return runCompletion },
	}
}

func runCompletion(_ context.Context, e *env, args []string) error {
	if len(args) != 1 {
		return usageError("")
	}
	write, ok := map[string]func(io.Writer) error{
		"bash": writeCompletionBash,
		"zsh":  writeCompletionZsh,
		"fish": writeCompletionFish,
	}[args[0]]
	if !ok {
		return usageError(fmt.Sprintf("no completion for shell %q", args[0]))
	}
	return write(e.out)
}
