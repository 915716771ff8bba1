//go:build linux

// Command mount is the process that has the file system of package powercut.
package main

import (
	"fmt"
	"io"
	"os"

	"mox/internal/testkit/powercut"
)

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

// run mounts a directory at another until standard input ends. It returns the exit code.
func run(args []string, stderr io.Writer) int {
	if len(args) != 2 {
		fmt.Fprintln(stderr, "usage: mount backing directory")
		return 2
	}
	if err := powercut.Serve(args[0], args[1]); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}
