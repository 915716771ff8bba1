package daemon

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mox/internal/safefile"
	"mox/internal/submit"
	"mox/srs"
)

// makeSubmitter makes what queues messages.
func (d *Daemon) makeSubmitter(dir string) error {
	keys, err := returnKeys(dir, time.Now())
	if err != nil {
		return err
	}
	d.submitter = submit.New(submit.Options{
		Config:     d.conf,
		Store:      d.store,
		Queue:      d.queueDB,
		Kick:       func() { d.queue.Kick() }, // Made later.
		Trace:      d.trace,
		Log:        d.logger("submit"),
		ReturnKeys: keys,
	})
	return nil
}

const (
	// returnKeysName is the file with the keys for reverse-paths of forwarded messages: a
	// line for each, the newest first, with the date it was made and the key in base64.
	returnKeysName = "srs.key"

	// returnKeyAge is how old a key gets until a start of the server makes a new one, and
	// returnKeyKept until it is removed: bounces to addresses made with it are not taken
	// any more by then.
	returnKeyAge  = 365 * 24 * time.Hour
	returnKeyKept = 2*returnKeyAge + srs.DefaultMaxAge

	returnKeySize = 32 // Bytes.
)

// returnKey is a key with the day it was made.
type returnKey struct {
	made time.Time
	key  []byte
}

// returnKeys returns the keys in the data directory, the newest first. It makes one if
// there is none, or only old ones. A new key is on stable storage before it is used. A file
// that cannot be read is an error: with other keys, bounces would be lost.
func returnKeys(dir string, now time.Time) ([][]byte, error) {
	path := filepath.Join(dir, returnKeysName)
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := parseReturnKeys(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(l) == 0 || now.Sub(l[0].made) > returnKeyAge {
		key := make([]byte, returnKeySize)
		rand.Read(key)
		kept := []returnKey{{now, key}}
		for _, k := range l {
			if now.Sub(k.made) < returnKeyKept {
				kept = append(kept, k)
			}
		}
		l = kept
		var b bytes.Buffer
		for _, k := range l {
			fmt.Fprintf(&b, "%s %s\n", k.made.UTC().Format(time.DateOnly), base64.StdEncoding.EncodeToString(k.key))
		}
		if err := safefile.WriteFile(path, b.Bytes(), 0640); err != nil {
			return nil, fmt.Errorf("write %s: %w", path, err)
		}
	}
	var keys [][]byte
	for _, k := range l {
		keys = append(keys, k.key)
	}
	return keys, nil
}

func parseReturnKeys(data []byte) ([]returnKey, error) {
	var l []returnKey
	sc := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; sc.Scan(); n++ {
		date, text, _ := strings.Cut(sc.Text(), " ")
		made, err := time.Parse(time.DateOnly, date)
		key, kerr := base64.StdEncoding.DecodeString(text)
		if err != nil || kerr != nil || len(key) < srs.MinKey {
			return nil, fmt.Errorf("line %d is not a date and a key", n)
		}
		l = append(l, returnKey{made, key})
	}
	return l, sc.Err()
}
