package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"mox/message"
)

var cmdMessageParse = command{
	words: "message parse",
	args:  "[file]",
	help: `Parse a message and print its structure as JSON.

The message is read from standard input if no file is given. Offsets and sizes are in
bytes of the file. Nothing in a message is an error: what cannot be understood is
left out.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		utf8 := fs.Bool("smtputf8", false, "only print whether the message needs SMTPUTF8, \"true\" or \"false\"")
		return func(_ context.Context, e *env, args []string) error {
			return runMessageParse(e, args, *utf8)
		}
	},
}

// parsedMessage is what is printed.
type parsedMessage struct {
	Size          int64
	HeaderSize    int64
	From          []string   `json:",omitempty"`
	To            []string   `json:",omitempty"`
	Cc            []string   `json:",omitempty"`
	Subject       string     `json:",omitempty"`
	Date          *time.Time `json:",omitempty"`
	MessageID     string     `json:",omitempty"` // In the form in which identifiers are compared.
	References    []string   `json:",omitempty"`
	Needs8BitMIME bool
	NeedsSMTPUTF8 bool
	IsDSN         bool
	Preview       string `json:",omitempty"`
	Structure     parsedPart
}

type parsedPart struct {
	Section     string `json:",omitempty"` // As in IMAP, "1.2". Empty for the message itself.
	Type        string
	Params      map[string]string `json:",omitempty"`
	Encoding    string
	Disposition string `json:",omitempty"`
	Filename    string `json:",omitempty"`
	HeaderStart int64
	BodyStart   int64
	BodyEnd     int64
	DecodedSize int64 // -1 if the encoding is unknown.
	Lines       int64
	Parts       []parsedPart `json:",omitempty"`
	Message     *parsedPart  `json:",omitempty"`
}

func runMessageParse(e *env, args []string, onlyUTF8 bool) (rerr error) {
	var r io.ReaderAt
	var size int64
	switch len(args) {
	case 0:
		data, err := io.ReadAll(e.in)
		if err != nil {
			return fmt.Errorf("read message: %w", err)
		}
		r, size = strings.NewReader(string(data)), int64(len(data))
	case 1:
		f, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer func() { rerr = errors.Join(rerr, f.Close()) }()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not a file", args[0])
		}
		r, size = f, info.Size()
	default:
		return usageError("")
	}
	d, err := message.NewDigest(r, size, message.Limits{})
	if err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	if onlyUTF8 {
		_, err := fmt.Fprintln(e.out, d.NeedsSMTPUTF8())
		return err
	}
	p, err := parseMessage(r, size, d)
	if err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	enc := json.NewEncoder(e.out)
	enc.SetIndent("", "\t")
	enc.SetEscapeHTML(false)
	return enc.Encode(p)
}

func parseMessage(r io.ReaderAt, size int64, d message.Digest) (parsedMessage, error) {
	root, err := message.Parse(r, size, message.Limits{})
	if err != nil {
		return parsedMessage{}, err
	}
	h, err := message.ReadHeader(r, size, message.Limits{})
	if err != nil {
		return parsedMessage{}, err
	}
	p := parsedMessage{
		Size:          size,
		HeaderSize:    d.HeaderSize(),
		From:          addressTexts(h.Addresses("From")),
		To:            addressTexts(h.Addresses("To")),
		Cc:            addressTexts(h.Addresses("Cc")),
		Subject:       h.Text("Subject"),
		MessageID:     string(d.MessageID()),
		Needs8BitMIME: d.Needs8BitMIME(),
		NeedsSMTPUTF8: d.NeedsSMTPUTF8(),
		IsDSN:         d.IsDSN(),
		Preview:       string(d.Preview()),
		Structure:     describePart(root, ""),
	}
	if t, ok := message.ParseDate(h.Value("Date")); ok {
		p.Date = &t
	}
	for ref := range d.References() {
		p.References = append(p.References, string(ref))
	}
	return p, nil
}

// addressTexts returns addresses in a form for people.
func addressTexts(l []message.Address) []string {
	var texts []string
	for _, a := range l {
		text := a.AddrSpec()
		switch name := a.DisplayName(); {
		case a.Kind == message.KindGroupStart:
			text = name + ":"
		case a.Kind == message.KindGroupEnd:
			text = ";"
		case name != "":
			text = name + " <" + text + ">"
		}
		texts = append(texts, text)
	}
	return texts
}

// describePart describes a part with those in it. Sections are those of RFC 9051
// §6.4.5.1: parts of a multipart are numbered, and a message inside a message does
// not have a number of its own.
func describePart(p *message.Part, section string) parsedPart {
	d := parsedPart{
		Section:     section,
		Type:        strings.ToLower(p.Type + "/" + p.Subtype),
		Encoding:    strings.ToLower(p.Encoding),
		Disposition: strings.ToLower(p.Disposition),
		Filename:    p.Filename(),
		HeaderStart: p.HeaderStart,
		BodyStart:   p.BodyStart,
		BodyEnd:     p.BodyEnd,
		DecodedSize: p.DecodedSize,
		Lines:       p.Lines,
	}
	for _, param := range p.Params {
		if d.Params == nil {
			d.Params = map[string]string{}
		}
		d.Params[strings.ToLower(param.Name)] = param.Value
	}
	for i, child := range p.Parts {
		number := fmt.Sprint(i + 1)
		if section != "" {
			number = section + "." + number
		}
		d.Parts = append(d.Parts, describePart(child, number))
	}
	if p.Message != nil {
		inner := describePart(p.Message, section)
		d.Message = &inner
	}
	return d
}
