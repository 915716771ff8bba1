package smtp

import (
	"slices"
	"strings"
	"unicode/utf8"

	"mox/internal/lex"
)

// Param is a parameter of MAIL or RCPT, esmtp-param of RFC 5321 §4.1.2.
type Param struct {
	Keyword  string // In upper case.
	Value    string // As sent.
	HasValue bool   // Tells "KEY" from a value; values are never empty.
}

var esmtpValue = lex.ESMTPValue.Union(lex.NonASCII) // RFC 6531 §3.3

// ParseParams parses the parameters that follow a path, without the space before
// the first. Duplicates are refused with 501 5.5.4, for no parameter is defined to
// be repeated. Errors are of type *Error.
//
//	Mail-parameters = esmtp-param *(SP esmtp-param)
//	esmtp-param     = esmtp-keyword ["=" esmtp-value]
//	esmtp-keyword   = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")
//	esmtp-value     = 1*(%d33-60 / %d62-126 / UTF8-non-ascii)
func ParseParams(s string, mode Mode) ([]Param, error) {
	sc := lex.New(s)
	params, err := scanParams(sc, mode)
	if err == nil && !sc.OK() {
		err = syntaxError(sc.Err())
	}
	return params, err
}

func scanParams(s *lex.Scanner, mode Mode) ([]Param, error) {
	defer s.In("esmtp-param")()
	var params []Param
	for s.OK() {
		if mode == Lenient {
			s.Take(lex.WSP)
			if s.End() {
				break
			}
		}
		var p Param
		start := s.Pos()
		s.NeedOne(lex.LetDig, "keyword")
		s.Take(lex.ESMTPKeyword)
		p.Keyword = strings.ToUpper(s.Since(start))
		if s.TryByte('=') {
			p.HasValue = true
			p.Value = s.NeedRun(esmtpValue, "value")
			if !utf8.ValidString(p.Value) {
				s.Fail("value not UTF-8")
			}
		}
		if !s.OK() {
			break
		}
		if slices.ContainsFunc(params, func(o Param) bool { return o.Keyword == p.Keyword }) {
			return nil, Errorf(C501BadParameters, Se54InvalidArguments, "duplicate parameter %s", p.Keyword)
		}
		if len(params) == MaxParams {
			return nil, Errorf(C501BadParameters, Se54InvalidArguments, "more than %d parameters", MaxParams)
		}
		params = append(params, p)
		if s.End() {
			break
		}
		s.NeedByte(' ')
	}
	return params, nil
}

// syntaxError returns the reply to a command that does not parse. Errors of package
// lex have nothing of the input in them.
func syntaxError(err error) *Error {
	return Errorf(C501BadParameters, Se52Syntax, "%s", err)
}

// paramError returns the reply to a parameter whose value is not valid.
func paramError(p Param, reason string) *Error {
	return Errorf(C501BadParameters, Se54InvalidArguments, "parameter %s: %s", p.Keyword, reason)
}

// paramDef says what a parameter of a command is, for a command struct C.
type paramDef[C any] struct {
	keyword string
	ext     Extensions // That must be offered, all of them.
	value   bool       // Whether it has a value; otherwise it must have none.
	set     func(c *C, p Param, mode Mode) error
}

// applyParams sets the fields of c from the parameters. A parameter that is
// unknown, or not offered, is refused with 555 5.3.3, RFC 5321 §4.1.1.11.
func applyParams[C any](c *C, params []Param, defs []paramDef[C], ext Extensions, mode Mode) error {
	for _, p := range params {
		i := slices.IndexFunc(defs, func(d paramDef[C]) bool { return d.keyword == p.Keyword })
		if i < 0 || !ext.Has(defs[i].ext) {
			return Errorf(C555ParamsNotRecognized, Se33NotCapable, "parameter %s not recognized", p.Keyword)
		}
		switch d := defs[i]; {
		case d.value && !p.HasValue:
			return paramError(p, "value required")
		case !d.value && p.HasValue:
			return paramError(p, "no value allowed")
		default:
			if err := d.set(c, p, mode); err != nil {
				return err
			}
		}
	}
	return nil
}

// isPrintable reports whether s has visible ASCII characters and white space only,
// which is what RFC 3461 §4.2 and §4.4 allow in decoded values.
func isPrintable(s string) bool {
	return s != "" && lex.VChar.Union(lex.WSP).All(s)
}
