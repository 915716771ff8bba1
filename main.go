// Command mox is a mail server that one person can run.
package main

import (
	"os"

	"mox/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args, os.Stdin, os.Stdout, os.Stderr))
}
