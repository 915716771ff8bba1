package script

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/tools/txtar"
)

// Names of the files of a script that are not data.
const (
	setupFile = "setup"
	talkFile  = "talk"
)

// A Script is a parsed conversation script.
type Script struct {
	Name    string    // For messages.
	Comment string    // The text before the first file.
	Setup   []Setting // In order.

	files map[string][]byte
	talk  []line
}

// A Setting is an entry of the setup file.
type Setting struct {
	Key   string
	Value string // Ends with a newline if it was on lines of its own.
}

// A line is a line of the talk.
type line struct {
	n    int    // Index in the talk, for messages.
	text string // As written.

	op   op
	conn string   // Empty for directives.
	arg  string   // Text, expression, file name or unquoted string.
	args []string // Of a directive, the first is its name.
	any  []line   // Of a block.
}

// An op is what a line does.
type op string

const (
	opNone      op = ""
	opSend      op = ">"
	opSendBytes op = ">="
	opSendFile  op = ">>"
	opLine      op = "<"
	opQuoted    op = "<="
	opRegexp    op = "<~"
	opFile      op = "<<"
	opSkip      op = "<..."
	opBlock     op = "<{"
	opClosed    op = "<!"
	opDirective op = "@"
	opOn        op = "+"
)

// operators are tried in this order.
var operators = []op{opSendFile, opSendBytes, opSend, opSkip, opBlock, opClosed, opQuoted, opRegexp, opFile, opLine, opOn}

// Get returns the value of the first setting with a key, and whether there is one.
func (s *Script) Get(key string) (string, bool) {
	for _, e := range s.Setup {
		if e.Key == key {
			return e.Value, true
		}
	}
	return "", false
}

// All returns the values of the settings with a key.
func (s *Script) All(key string) []string {
	var l []string
	for _, e := range s.Setup {
		if e.Key == key {
			l = append(l, e.Value)
		}
	}
	return l
}

// File returns a file of the archive with CRLF line endings, and whether there is
// one.
func (s *Script) File(name string) ([]byte, bool) {
	b, ok := s.files[name]
	return b, ok
}

// ParseFile reads a script from a file.
func ParseFile(path string) (*Script, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// Parse parses a script. Errors start with the name and a line number.
func Parse(name string, data []byte) (*Script, error) {
	ar := txtar.Parse(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")))
	s := &Script{Name: name, Comment: string(ar.Comment), files: map[string][]byte{}}
	hasTalk := false
	for _, f := range ar.Files {
		if _, dup := s.files[f.Name]; dup {
			return nil, fmt.Errorf("%s: file %q occurs twice", name, f.Name)
		}
		s.files[f.Name] = bytes.ReplaceAll(f.Data, []byte("\n"), []byte("\r\n"))
		var err error
		switch f.Name {
		case setupFile:
			s.Setup, err = parseSetup(string(f.Data))
		case talkFile:
			hasTalk = true
			s.talk, err = parseTalk(string(f.Data))
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s %w", name, f.Name, err)
		}
	}
	if !hasTalk {
		return nil, fmt.Errorf("%s: no file %q", name, talkFile)
	}
	return s, s.checkFiles(s.talk)
}

// checkFiles checks that the files that lines name exist.
func (s *Script) checkFiles(lines []line) error {
	for _, l := range lines {
		if l.op != opSendFile && l.op != opFile {
			continue
		}
		if _, ok := s.files[l.arg]; !ok {
			return fmt.Errorf("%s: talk line %d: no file %q", s.Name, l.n+1, l.arg)
		}
	}
	return nil
}

func parseSetup(text string) ([]Setting, error) {
	var l []Setting
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		s := lines[i]
		if strings.TrimSpace(s) == "" || strings.HasPrefix(s, "#") {
			continue
		}
		key, value, ok := strings.Cut(s, ":")
		if !ok || key == "" || key != strings.TrimSpace(key) {
			return nil, fmt.Errorf("line %d: not \"key: value\": %q", i+1, s)
		}
		value = strings.TrimSpace(value)
		if value == "" {
			start := i + 1
			for i+1 < len(lines) && (strings.TrimSpace(lines[i+1]) == "" || indented(lines[i+1])) {
				i++
			}
			value = dedent(lines[start : i+1])
		}
		l = append(l, Setting{key, value})
	}
	return l, nil
}

func indented(s string) bool {
	return strings.HasPrefix(s, " ") || strings.HasPrefix(s, "\t")
}

// dedent joins lines without their common indentation and the empty lines at
// their end.
func dedent(lines []string) string {
	prefix, first := "", true
	for _, l := range lines {
		if strings.TrimSpace(l) == "" {
			continue
		}
		in := l[:len(l)-len(strings.TrimLeft(l, " \t"))]
		if first {
			prefix, first = in, false
		}
		for !strings.HasPrefix(in, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(strings.TrimRight(strings.TrimPrefix(l, prefix), " \t") + "\n")
	}
	text := strings.TrimRight(b.String(), "\n")
	if text == "" {
		return ""
	}
	return text + "\n"
}

func parseTalk(text string) ([]line, error) {
	var l []line
	texts := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := 0; i < len(texts); i++ {
		ln, err := parseLine(i, texts[i])
		if err == nil && ln.op == opBlock {
			ln.any, i, err = parseBlock(texts, i, ln.conn)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		l = append(l, ln)
	}
	return l, nil
}

// parseBlock parses the lines after the one at index i up to "}". It returns the
// index of the last.
func parseBlock(texts []string, i int, conn string) ([]line, int, error) {
	var l []line
	for i++; i < len(texts); i++ {
		if strings.TrimSpace(texts[i]) == "}" {
			if len(l) == 0 {
				return nil, i, fmt.Errorf("empty block")
			}
			return l, i, nil
		}
		ln, err := parseLine(i, strings.TrimSpace(texts[i]))
		if err != nil {
			return nil, i, err
		}
		switch {
		case ln.op == opNone:
		case ln.op != opLine && ln.op != opQuoted && ln.op != opRegexp:
			return nil, i, fmt.Errorf("a block can only have lines that expect a line")
		case ln.conn != conn:
			return nil, i, fmt.Errorf("the block is for connection %q", conn)
		default:
			l = append(l, ln)
		}
	}
	return nil, i - 1, fmt.Errorf("block without end")
}

func parseLine(n int, text string) (line, error) {
	l := line{n: n, text: text}
	if strings.TrimSpace(text) == "" || strings.HasPrefix(text, "#") {
		return l, nil
	}
	var err error
	if rest, ok := strings.CutPrefix(text, "@"); ok {
		l.op = opDirective
		l.args, err = splitArgs(rest)
		return l, err
	}
	end := identLen(text)
	if end == 0 {
		return l, fmt.Errorf("no name of a connection: %q", text)
	}
	l.conn = text[:end]
	rest := text[end:]
	for _, o := range operators {
		if arg, ok := strings.CutPrefix(rest, string(o)); ok {
			l.op = o
			return l, l.parseArg(arg)
		}
	}
	return l, fmt.Errorf("no operator after %q", l.conn)
}

// parseArg parses what follows the operator.
func (l *line) parseArg(arg string) error {
	if arg != "" && arg[0] != ' ' {
		return fmt.Errorf("no space after operator %q", string(l.op))
	}
	arg = strings.TrimPrefix(arg, " ")
	var err error
	switch l.op {
	case opSendBytes, opQuoted:
		if arg, err = strconv.Unquote(arg); err != nil {
			return fmt.Errorf("not a quoted string: %w", err)
		}
	case opSkip, opBlock, opClosed:
		if arg != "" {
			return fmt.Errorf("text after operator %q", string(l.op))
		}
	case opOn:
		if l.args, err = splitArgs(arg); err != nil {
			return err
		}
		l.op = opDirective
		l.args = append([]string{l.args[0], l.conn}, l.args[1:]...)
	}
	l.arg = arg
	return nil
}

// splitArgs splits the text of a directive at spaces, where quoted strings are
// not split. There is at least one.
func splitArgs(s string) ([]string, error) {
	var args []string
	for s = strings.TrimLeft(s, " "); s != ""; s = strings.TrimLeft(s, " ") {
		if s[0] == '"' || s[0] == '`' {
			q, err := strconv.QuotedPrefix(s)
			if err != nil {
				return nil, fmt.Errorf("quoted argument: %w", err)
			}
			s = s[len(q):]
			if q, err = strconv.Unquote(q); err != nil {
				return nil, fmt.Errorf("quoted argument: %w", err)
			}
			args = append(args, q)
			continue
		}
		arg, rest, _ := strings.Cut(s, " ")
		args = append(args, arg)
		s = rest
	}
	if len(args) == 0 {
		return nil, fmt.Errorf("no name of a directive")
	}
	return args, nil
}

// identLen returns the length of the name that s starts with, which may be 0.
func identLen(s string) int {
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return i
		}
	}
	return len(s)
}
