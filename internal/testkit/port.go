package testkit

import (
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"
)

// Ports for programs that need to know theirs before they are started. Systems do not give
// these to who does not care for a number, of which there are many while tests run.
const (
	minPort = 10000
	maxPort = 32000
)

// FreePort returns a port of 127.0.0.1 that is free for UDP and TCP, for a program that
// must know it before it listens. On Linux, others who call it do not get the same until
// the test ends, in whatever process they are.
func FreePort(t testing.TB) string {
	t.Helper()
	for range listenTries {
		port := minPort + rand.IntN(maxPort-minPort)
		if !reserve(t, port) {
			continue
		}
		pc, ln, err := listenOn(port)
		if err != nil {
			continue
		}
		for _, err := range []error{pc.Close(), ln.Close()} {
			if err != nil {
				t.Fatalf("closing listener: %v", err)
			}
		}
		return fmt.Sprint(port)
	}
	t.Fatalf("no free port")
	return ""
}

// reserve takes a name of Linux for a port: an abstract socket, which is gone with its
// process.
func reserve(t testing.TB, port int) bool {
	if runtime.GOOS != "linux" {
		return true
	}
	ln, err := net.Listen("unix", fmt.Sprintf("@mox-test-port-%d", port))
	if err != nil {
		return false
	}
	t.Cleanup(func() { _ = ln.Close() }) // There is nothing to be done about it.
	return true
}
