package edit

import (
	"errors"
	"strings"
	"testing"
	"time"
)

type testFile struct {
	Domains  map[string]testDomain
	Accounts map[string]testAccount `sconf:"optional"`
	Names    []string               `sconf:"optional"`
	Routes   []testRoute            `sconf:"optional"`
	Limits   testLimits             `sconf:"optional"`
	Key      []byte                 `sconf:"optional"`
	Ignored  int                    `sconf:"-"`
}

type testDomain struct {
	Disabled  bool     `sconf:"optional"`
	Separator string   `sconf:"optional"`
	DKIM      *testKey `sconf:"optional"`
}

type testKey struct {
	Relaxed    *bool         `sconf:"optional"`
	Expiration time.Duration `sconf:"optional"`
	Sign       []string      `sconf:"optional"`
}

type testAccount struct {
	Domain       string
	Destinations map[string]testDest
	Threshold    float64           `sconf:"optional"`
	Headers      map[string]string `sconf:"optional"`
}

type testDest struct {
	Mailbox string `sconf:"optional"`
}

type testRoute struct {
	To        []string `sconf:"optional"`
	Attempts  int      `sconf:"optional"`
	Transport string   `sconf:"optional"`
}

type testLimits struct {
	Size uint `sconf:"optional"`
}

const testText = `# Written by hand.

Domains:
	# The first.
	example.org:
		Separator: +

		# Keys.
		DKIM:
			Sign:
				- a
				# The second.
				- b
	other.example: nil

Accounts:
	ann:
		Domain: example.org
		Destinations:
			ann@example.org:
				Mailbox: In  box
			a@example.org: nil
			# Nothing else.
		# Called Ann.

	# Bob.
	bob:
		Domain: other.example
		Destinations:
			bob@other.example: nil
# End.
`

func parsed(t *testing.T, text string) *Doc {
	t.Helper()
	d, err := Parse([]byte(text), testFile{})
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	return d
}

func TestEditsChangeTheirLinesOnly(t *testing.T) {
	t.Parallel()
	ann := At("Accounts", "ann")
	dests := ann.Key("Destinations")
	yes := true
	for name, tc := range map[string]struct {
		edit     func(d *Doc) error
		old, new string // Text that is replaced.
	}{
		"a value is replaced":                        {func(d *Doc) error { return d.Set(dests.Key("ann@example.org", "Mailbox"), "Work") }, "Mailbox: In  box", "Mailbox: Work"},
		"a field is added after the last":            {func(d *Doc) error { return d.Set(ann.Key("Threshold"), 0.5) }, "\t\t# Called Ann.\n", "\t\t# Called Ann.\n\t\tThreshold: 0.5\n"},
		"an entry is added after the last":           {func(d *Doc) error { return d.Set(dests.Key("x@example.org"), testDest{}) }, "\t\t\t# Nothing else.\n", "\t\t\t# Nothing else.\n\t\t\tx@example.org: nil\n"},
		"nil gives way to a field":                   {func(d *Doc) error { return d.Set(dests.Key("a@example.org", "Mailbox"), "X") }, "a@example.org: nil", "a@example.org:\n\t\t\t\tMailbox: X"},
		"a field without value gives way to nil":     {func(d *Doc) error { return d.Set(dests.Key("ann@example.org", "Mailbox"), "") }, "ann@example.org:\n\t\t\t\tMailbox: In  box", "ann@example.org: nil"},
		"what is on the way is added":                {func(d *Doc) error { return d.Set(At("Domains", "other.example", "DKIM", "Relaxed"), &yes) }, "other.example: nil\n", "other.example:\n\t\tDKIM:\n\t\t\tRelaxed: true\n"},
		"an item is added to a list":                 {func(d *Doc) error { return d.Add(At("Domains", "example.org", "DKIM", "Sign"), "#c") }, "\t\t\t\t- b\n", "\t\t\t\t- b\n\t\t\t\t- #c\n"},
		"an item is removed":                         {func(d *Doc) error { return d.Remove(At("Domains", "example.org", "DKIM", "Sign").Item(0)) }, "\t\t\t\t- a\n", ""},
		"an item is set":                             {func(d *Doc) error { return d.Set(At("Domains", "example.org", "DKIM", "Sign").Item(1), "") }, "- b", "-"},
		"a list is made":                             {func(d *Doc) error { return d.Add(At("Names"), " x") }, "# End.", "Names:\n\t-  x\n# End."},
		"an item of fields is added":                 {func(d *Doc) error { return d.Add(At("Routes"), testRoute{Attempts: 2}) }, "# End.", "Routes:\n\t-\n\t\tAttempts: 2\n# End."},
		"an entry goes with the comments in it":      {func(d *Doc) error { return d.Remove(ann) }, testText[strings.Index(testText, "\tann:"):strings.Index(testText, "\n\t# Bob.")], ""},
		"an entry is renamed":                        {func(d *Doc) error { return d.Rename(ann, "anna") }, "\tann:", "\tanna:"},
		"a domain is renamed, with nil":              {func(d *Doc) error { return d.Rename(At("Domains", "other.example"), "x.example") }, "other.example: nil", "x.example: nil"},
		"a pointer stays when nothing is left in it": {func(d *Doc) error { return d.Set(At("Domains", "example.org", "DKIM", "Sign"), []string(nil)) }, "\t\t\tSign:\n\t\t\t\t- a\n\t\t\t\t# The second.\n\t\t\t\t- b\n", "\t\t\tExpiration: 0s\n"},
		"a duration":                                 {func(d *Doc) error { return d.Set(At("Domains", "example.org", "DKIM", "Expiration"), 72*time.Hour) }, "\t\t\t\t- b\n", "\t\t\t\t- b\n\t\t\tExpiration: 72h\n"},
		"octets":                                     {func(d *Doc) error { return d.Set(At("Key"), []byte("abc")) }, "# End.", "Key: YWJj\n# End."},
		"nothing, for nothing":                       {func(d *Doc) error { return d.Set(At("Limits", "Size"), uint(0)) }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := parsed(t, testText)
			if err := tc.edit(d); err != nil {
				t.Fatalf("edit: %v", err)
			}
			if want := strings.Replace(testText, tc.old, tc.new, 1); string(d.Bytes()) != want {
				t.Errorf("got:\n%s\nexpected:\n%s", d.Bytes(), want)
			}
		})
	}
}

func TestWhatCannotBeWrittenIsRefused(t *testing.T) {
	t.Parallel()
	ann := At("Accounts", "ann")
	for name, tc := range map[string]struct {
		edit func(d *Doc) error
		err  error
	}{
		"a line end":                  {func(d *Doc) error { return d.Set(ann.Key("Domain"), "a\nb") }, ErrValue},
		"a carriage return":           {func(d *Doc) error { return d.Add(At("Names"), "a\r") }, ErrValue},
		"a key with a colon":          {func(d *Doc) error { return d.Set(At("Domains", "a:b"), testDomain{}) }, ErrValue},
		"a key with a line end":       {func(d *Doc) error { return d.Rename(ann, "a\nb") }, ErrValue},
		"a key with space":            {func(d *Doc) error { return d.Rename(ann, " a") }, ErrValue},
		"a key like a comment":        {func(d *Doc) error { return d.Set(ann.Key("Headers", "#a"), "x") }, ErrValue},
		"an empty key":                {func(d *Doc) error { return d.Set(ann.Key("Headers", ""), "x") }, ErrValue},
		"the text nil in a map":       {func(d *Doc) error { return d.Set(ann.Key("Headers", "a"), "nil") }, ErrValue},
		"such keys within a value":    {func(d *Doc) error { return d.Set(ann.Key("Headers"), map[string]string{"a": "b", ":": "x"}) }, ErrValue},
		"a required map without any":  {func(d *Doc) error { return d.Set(ann.Key("Destinations"), map[string]testDest{}) }, ErrValue},
		"an entry without required":   {func(d *Doc) error { return d.Set(At("Accounts", "x"), testAccount{Domain: "x"}) }, ErrValue},
		"a required field missing":    {func(d *Doc) error { return d.Set(At("Accounts", "x", "Domain"), "x") }, ErrSyntax},
		"the last required entry":     {func(d *Doc) error { return d.Remove(At("Accounts", "bob", "Destinations", "bob@other.example")) }, ErrRequired},
		"a required field removed":    {func(d *Doc) error { return d.Remove(ann.Key("Domain")) }, ErrRequired},
		"a value of another type":     {func(d *Doc) error { return d.Set(ann.Key("Domain"), 1) }, ErrPath},
		"no value":                    {func(d *Doc) error { return d.Set(ann.Key("Domain"), nil) }, ErrPath},
		"an item of another type":     {func(d *Doc) error { return d.Add(At("Names"), 1) }, ErrPath},
		"an item for a map":           {func(d *Doc) error { return d.Add(At("Domains"), testDomain{}) }, ErrPath},
		"a field that does not exist": {func(d *Doc) error { return d.Set(ann.Key("X"), 1) }, ErrPath},
		"an ignored field":            {func(d *Doc) error { return d.Set(At("Ignored"), 1) }, ErrPath},
		"an item that is not there":   {func(d *Doc) error { return d.Set(At("Names").Item(0), "x") }, ErrNotFound},
		"an item in a struct":         {func(d *Doc) error { return d.Set(ann.Item(0), "x") }, ErrPath},
		"the whole file":              {func(d *Doc) error { return errors.Join(d.Set(nil, testFile{}), d.Remove(nil)) }, ErrPath},
		"what is not there":           {func(d *Doc) error { return d.Remove(At("Accounts", "x")) }, ErrNotFound},
		"renaming a field":            {func(d *Doc) error { return d.Rename(ann.Key("Domain"), "x") }, ErrPath},
		"renaming what is not there":  {func(d *Doc) error { return d.Rename(At("Accounts", "x"), "y") }, ErrNotFound},
		"renaming to another":         {func(d *Doc) error { return d.Rename(ann, "bob") }, ErrExists},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := parsed(t, testText)
			if err := tc.edit(d); !errors.Is(err, tc.err) {
				t.Errorf("got error %v, expected %v", err, tc.err)
			}
			if string(d.Bytes()) != testText {
				t.Errorf("text was changed: %s", d.Bytes())
			}
		})
	}
}

func TestTextThatIsNotUnderstoodIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "Domains:\n", "x", "Domains:\n\ta: nil\nDomains:\n\ta: nil\n", "Domains: \ta: nil\n", "Domains:\n\ta: nil\n\t\n"} {
		if d, err := Parse([]byte(text), &testFile{}); !errors.Is(err, ErrSyntax) {
			t.Errorf("%q: got %v, %v", text, d, err)
		}
	}
}

func TestFilesWithoutLastLineEndGetOne(t *testing.T) {
	t.Parallel()
	d := parsed(t, "Domains:\n\ta: nil")
	if err := d.Set(At("Domains", "b"), testDomain{}); err != nil {
		t.Fatal(err)
	}
	if got := string(d.Bytes()); got != "Domains:\n\ta: nil\n\tb: nil\n" {
		t.Errorf("got %q", got)
	}
	if !d.Has(At("Domains", "b")) || d.Has(At("Domains", "c")) {
		t.Errorf("has is wrong")
	}
	if s := At("Routes").Item(1).Key("To").String(); s != "Routes[1].To" {
		t.Errorf("path: %q", s)
	}
}
