package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/mjl-/sconf"

	"mox/internal/safefile"
	"mox/message"
	"mox/smtp"
	"mox/smtpclient"
)

// Exit codes that users of sendmail expect, as in sysexits.h.
const (
	exUsage       = 64 // The command line is wrong.
	exDataErr     = 65 // The message is.
	exNoUser      = 67 // The server does not know the recipient.
	exNoHost      = 68 // The server does not exist.
	exUnavailable = 69 // The server refuses, for good.
	exIOErr       = 74 // The message cannot be read.
	exTempFail    = 75 // It can work later.
	exNoPerm      = 77 // Logging in is refused.
	exConfig      = 78 // The configuration is wrong.
)

// sysexit is an error with the exit code for it.
type sysexit struct {
	code int
	err  error
}

func (e *sysexit) Error() string { return e.err.Error() }
func (e *sysexit) Unwrap() error { return e.err }

var cmdSendmail = command{
	words: "sendmail",
	args:  "[-t] [flag ...] [--] [recipient]",
	help: `Submit a message from standard input to a mail server, as programs expect of sendmail.

Run under the name sendmail, such as by a symbolic link at /usr/sbin/sendmail, the
program is this command. It is for machines that only send mail, such as that of
cron: there is no queue, and nothing that runs.

The server and the login are in /etc/moxsubmit.conf, or the file in environment variable
MOXSUBMITCONF, see "mox config describe-sendmail". SASL is done with the strongest
mechanism that the server offers, or a client key is used.

A message is for one recipient, on the command line or with -t in its To field. One
without @ is replaced by DefaultDestination of the configuration. The From field is
replaced, a To field is added if there is none, and line ends become CRLF. All other
flags of sendmail are accepted and ignored. A line with only a dot does not end the
message.

A message that cannot be sent is stored in directory moxsubmit.failures in the home
directory, with the error in its first header field. The exit code is as in sysexits.h:
64 for a wrong command line, 65 for a message that is wrong, 67 for an unknown recipient,
68 for an unknown server, 69 for a server that refuses, 74 for a message that cannot be
read, 75 for what can work later, 77 for a login that fails, and 78 for a wrong
configuration.
`,
	dashed: true,
	setup: func(*flag.FlagSet) runFunc {
		return func(ctx context.Context, e *env, args []string) error { return runSendmail(ctx, e, args) }
	},
}

var cmdConfigDescribeSendmail = command{
	words: "config describe-sendmail",
	help: `Print a moxsubmit.conf with all fields and what they are for.

It is the configuration of "mox sendmail". It has no values: copy what you need.
`,
	setup: describe(func(w io.Writer) error { return sconf.Describe(w, &submitConfig{}) }),
}

// sendmailValues are the flags of sendmail that have a value, attached or as the next
// argument.
const sendmailValues = "ABCFLNORVXbfhopqr"

// parseSendmail returns the recipient on a command line, and whether it is in the header.
func parseSendmail(args []string) (rcpt string, header bool, err error) {
	var rcpts []string
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			rcpts = append(rcpts, args[i+1:]...)
			break
		}
		if len(a) < 2 || a[0] != '-' {
			rcpts = append(rcpts, a)
			continue
		}
		for j := 1; j < len(a); j++ {
			if a[j] == 't' {
				header = true
			}
			if strings.IndexByte(sendmailValues, a[j]) < 0 {
				continue
			}
			value := a[j+1:]
			if value == "" && strings.IndexByte("opq", a[j]) < 0 { // These have it attached, or none.
				if i++; i == len(args) {
					return "", false, fmt.Errorf("flag -%c needs a value", a[j])
				}
				value = args[i]
			}
			if a[j] == 'b' && value != "m" {
				return "", false, fmt.Errorf("mode -b%s is not possible, only that of sending a message", value)
			}
			break
		}
	}
	switch {
	case header && len(rcpts) > 0:
		return "", false, errors.New("with -t, the recipient is in the message, and not on the command line")
	case !header && len(rcpts) != 1:
		return "", false, fmt.Errorf("need one recipient, got %d", len(rcpts))
	case header:
		return "", true, nil
	}
	return rcpts[0], false, nil
}

func runSendmail(ctx context.Context, e *env, args []string) error {
	rcpt, header, err := parseSendmail(args)
	if err != nil {
		return &sysexit{exUsage, err}
	}
	s, cerr := readSubmitConfig()
	l, err := readLetter(e.in)
	if err != nil {
		return &sysexit{exIOErr, err}
	}
	if cerr != nil { // The message is not lost.
		return storeFailed(e, append(append(bytes.Join(l.fields, nil), '\r', '\n'), l.body...), rcpt, &sysexit{exConfig, cerr})
	}
	if header {
		if rcpt, err = l.recipient(); err != nil {
			return storeFailed(e, l.complete(s, s.fallback), rcpt, &sysexit{exDataErr, err})
		}
	}
	to, err := s.recipient(rcpt)
	data := l.complete(s, to)
	if err == nil {
		err = s.send(ctx, e, to, data)
	}
	if err == nil {
		return nil
	}
	return storeFailed(e, data, rcpt, err)
}

// recipient returns the address for a recipient, who may be a local user.
func (s *submitter) recipient(rcpt string) (smtp.Address, error) {
	if !strings.Contains(rcpt, "@") {
		if s.fallback.IsZero() {
			return smtp.Address{}, &sysexit{exNoUser, fmt.Errorf("recipient %q has no domain, and there is no DefaultDestination in the configuration", rcpt)}
		}
		return s.fallback, nil
	}
	to, err := smtp.ParseAddress(strings.TrimSuffix(strings.TrimPrefix(rcpt, "<"), ">"), smtp.Lenient)
	if err != nil {
		return smtp.Address{}, &sysexit{exUsage, fmt.Errorf("recipient %q: %w", rcpt, err)}
	}
	return to, nil
}

// sendTimeout is how long sending a message may take.
const sendTimeout = 15 * time.Minute

// send submits a message.
func (s *submitter) send(ctx context.Context, e *env, to smtp.Address, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	d, err := message.NewDigest(bytes.NewReader(data), int64(len(data)), message.Limits{})
	if err != nil {
		return &sysexit{exDataErr, err}
	}
	mail := smtp.MailCommand{
		ReversePath: s.from.Path(), Size: int64(len(data)), RequireTLS: s.RequireTLS == "yes",
		SMTPUTF8: d.NeedsSMTPUTF8() || s.from.Path().IsInternational() || to.Path().IsInternational(),
	}
	if d.Needs8BitMIME() {
		mail.Body = smtp.Body8BitMIME
	}
	opts := s.client()
	opts.Log = e.log
	c, err := smtpclient.Dial(ctx, func(ctx context.Context) (net.Conn, error) {
		host := s.host.Domain.ASCII
		if !s.host.IsDomain() {
			host = s.host.IP.String()
		}
		return (&net.Dialer{Timeout: connectTimeout}).DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(s.Port)))
	}, opts)
	if err != nil {
		return submitError(err)
	}
	defer c.Close() // What became of the message is known by then.
	results, err := c.Deliver(ctx, smtpclient.Envelope{
		Mail:       mail,
		Recipients: []smtp.RcptCommand{{ForwardPath: to.Path()}},
		Open:       func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
	})
	if err == nil && len(results) == 1 && results[0].Err != nil {
		err = results[0].Err
	}
	return submitError(err)
}

// submitError returns an error of sending with its exit code.
func submitError(err error) error {
	if err == nil {
		return nil
	}
	code := exTempFail
	var e *smtpclient.Error
	var derr *net.DNSError
	switch {
	case errors.As(err, &derr) && derr.IsNotFound:
		code = exNoHost
	case !errors.As(err, &e) || !e.Permanent:
	case e.Command == "auth":
		code = exNoPerm
	case e.Command == "rcpt":
		code = exNoUser
	case e.Command == "content" || errors.Is(err, smtpclient.ErrSize):
		code = exDataErr
	default:
		code = exUnavailable
	}
	return &sysexit{code, err}
}

const (
	// failuresName is the directory in the home directory for messages that could not be
	// sent, and maxFailures how many are kept there.
	failuresName = "moxsubmit.failures"
	maxFailures  = 1000
)

// storeFailed stores a message that could not be sent, and returns the error.
func storeFailed(e *env, data []byte, rcpt string, err error) error {
	home, herr := os.UserHomeDir()
	if herr != nil {
		fmt.Fprintf(e.err, "message is not stored: %s\n", herr)
		return err
	}
	dir := filepath.Join(home, failuresName)
	path, serr := storeIn(dir, data, rcpt, err)
	if serr != nil {
		fmt.Fprintf(e.err, "message is not stored: %s\n", serr)
	} else {
		fmt.Fprintf(e.err, "message is stored in %s\n", path)
	}
	return err
}

func storeIn(dir string, data []byte, rcpt string, err error) (string, error) {
	if err := os.Mkdir(dir, 0700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	entries, rerr := os.ReadDir(dir)
	if rerr != nil {
		return "", rerr
	}
	if len(entries) >= maxFailures {
		return "", fmt.Errorf("%s has %d messages already", dir, len(entries))
	}
	var w message.HeaderWriter
	w.Field("X-Moxsubmit-Error")
	w.AddText(printableText(strings.Join(strings.Fields(err.Error()), " ")))
	w.Field("X-Moxsubmit-Recipient")
	w.AddText(printableText(rcpt))
	path := filepath.Join(dir, time.Now().UTC().Format("20060102T150405.000")+"-"+rand.Text()[:8]+".eml")
	return path, safefile.CreateExcl(path, append(w.Bytes(), data...), 0600)
}
