//go:build linux

// Command mount is the process that has the file system of package powercut.
package main

import (
	"fmt"
	"os"

	"mox/internal/testkit/powercut"
)

func main() {
	if err := powercut.Serve(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
