package privsep

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestListenDoesNotReplaceWhatIsNoSocket(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "socket")
	if err := os.WriteFile(socket, []byte("x"), 0600); err != nil {
		t.Fatal(err)
	}
	if l, err := Listen(t.Context(), "unix", socket); err == nil || !strings.Contains(err.Error(), "is not a socket") {
		t.Errorf("got %v, %v", l, err)
	}
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if other, err := Listen(t.Context(), "unix", socket); err == nil || !strings.Contains(err.Error(), "another program has the socket") {
		t.Errorf("got %v, %v", other, err)
	}
}
