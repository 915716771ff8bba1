package testkit

import (
	"net"
	"runtime"
	"testing"
)

func TestFreePortsAreNotGivenTwice(t *testing.T) {
	t.Parallel()
	port := FreePort(t)
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	if runtime.GOOS != "linux" {
		return
	}
	var first string
	t.Run("first", func(t *testing.T) {
		first = FreePort(t)
		if reserve(t, atoi(t, first)) {
			t.Error("port is given to another")
		}
	})
	if !reserve(t, atoi(t, first)) {
		t.Error("port is not given to another after the end of the test")
	}
}

func atoi(t *testing.T, port string) int {
	t.Helper()
	n, err := net.LookupPort("tcp", port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
