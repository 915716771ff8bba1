package store

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// Small and large messages, one that does not exist, one without its file and one whose file
// was cut off, in more groups than are ahead.
func TestContentsAreReadInOrder(t *testing.T) {
	t.Parallel()
	a := testAccount(t)
	var ids []int64
	var want []string
	for n := range 3*aheadFiles*aheadGroups + 1 {
		text := testMessage(n)
		if n%5 == 3 {
			text += strings.Repeat("a longer line of text\r\n", aheadFile/20)
		}
		m := newMessage(t, a, text)
		if n%2 == 1 {
			m.Prefix = []byte("X-Added: yes\r\n")
		}
		l, err := a.Append(ctx, m)
		tcheck(t, err)
		ids, want = append(ids, l[0].ContentID), append(want, string(m.Prefix)+text)
	}
	const gone, lost, cut = 2, 5, 8
	ids[gone] = 1 << 40
	file := a.contentPath(ids[lost])
	tcheck(t, os.Rename(file, file+".kept"))
	defer func() { tcheck(t, os.Rename(file+".kept", file)) }()
	cutFile := a.contentPath(ids[cut])
	data, err := os.ReadFile(cutFile)
	tcheck(t, err)
	tcheck(t, os.Truncate(cutFile, 10))
	defer func() { tcheck(t, os.WriteFile(cutFile, data, 0o600)) }()

	for _, some := range [][]int64{ids, ids[:aheadFiles], ids[lost : lost+1]} {
		next := 0
		tcheck(t, a.Contents(ctx, some, func(i int, c *Content) error {
			n := i
			if len(some) == 1 {
				n += lost
			}
			if i != next || (c == nil) != (n == gone) {
				t.Fatalf("message %d after %d: %v", i, next, c)
			}
			if next++; c == nil {
				return nil
			}
			b := make([]byte, c.Size())
			read, err := c.ReadAt(b, 0)
			switch {
			case n == lost:
				if !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("without a file: %v", err)
				}
			case n == cut:
				if read != 10 || !errors.Is(err, io.EOF) {
					t.Errorf("cut off: %d octets, %v", read, err)
				}
			case err != nil || string(b) != want[n]:
				t.Errorf("message %d: %v, %q", n, err, b)
			}
			return nil
		}))
		if next != len(some) {
			t.Errorf("%d of %d messages", next, len(some))
		}
	}

	enough := errors.New("enough")
	for _, last := range []int{0, aheadFiles, len(ids) - 1} {
		calls := 0
		err := a.Contents(ctx, ids, func(i int, _ *Content) error {
			if calls++; i == last {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) || calls != last+1 {
			t.Errorf("%d calls until %d, %v", calls, last, err)
		}
	}
}
