package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"filippo.io/age"

	"mox/internal/backup"
)

// backupPlace has the flags that say how a place with backups is read and written.
type backupPlace struct {
	recipients     []string
	recipientsFile string
	identityFile   string
	credentials    string
	region         string
}

// define defines the flags that all commands have that open a place.
func (b *backupPlace) define(fs *flag.FlagSet) {
	fs.StringVar(&b.credentials, "s3credentials", "", "`file` with credentials for storage, as the AWS tools have it; if not given, they are in the environment, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	fs.StringVar(&b.region, "s3region", "", "`region` of the storage; if not given, it is asked for that")
}

// defineRead is define for commands that read what may be encrypted.
func (b *backupPlace) defineRead(fs *flag.FlagSet) {
	b.define(fs)
	fs.StringVar(&b.identityFile, "identity", "", "`file` with private keys, as age-keygen makes it, for backups that are encrypted")
}

// defineWrite is define for commands that write.
func (b *backupPlace) defineWrite(fs *flag.FlagSet) {
	b.define(fs)
	fs.Func("recipient", "`public key` for age, age1..., with whose private key the backup can be read; can be given several times", func(s string) error {
		b.recipients = append(b.recipients, s)
		return nil
	})
	fs.StringVar(&b.recipientsFile, "recipients", "", "`file` with public keys for age, one to a line")
}

// open opens a place, with options besides those of flags.
func (b *backupPlace) open(ctx context.Context, location string, o backup.PlaceOptions) (*backup.Place, error) {
	o.Location, o.S3 = location, backup.S3Options{CredentialsFile: b.credentials, Region: b.region}
	var err error
	if len(b.recipients) > 0 {
		if o.Recipients, err = age.ParseRecipients(strings.NewReader(strings.Join(b.recipients, "\n"))); err != nil {
			return nil, usageError(fmt.Sprintf("flag -recipient: %v", err))
		}
	}
	if b.recipientsFile != "" {
		l, err := parseFile(b.recipientsFile, age.ParseRecipients)
		if err != nil {
			return nil, err
		}
		o.Recipients = append(o.Recipients, l...)
	}
	if b.identityFile != "" {
		if o.Identities, err = parseFile(b.identityFile, age.ParseIdentities); err != nil {
			return nil, err
		}
	}
	return backup.OpenPlace(ctx, o)
}

// parseFile parses a file with keys for age.
func parseFile[T any](path string, parse func(io.Reader) ([]T, error)) (l []T, rerr error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { rerr = errors.Join(rerr, f.Close()) }()
	if l, err = parse(f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return l, nil
}
