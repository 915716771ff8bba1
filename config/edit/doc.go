// Package edit changes single fields in the text of a configuration file, and leaves
// all else in it as somebody wrote it: comments, empty lines, the order of fields, and
// defaults that are written out.
//
// A [Doc] is the text of a file in the format of github.com/mjl-/sconf together with
// the Go type that the file is read into. [Doc.Set], [Doc.Add], [Doc.Remove] and
// [Doc.Rename] change what a [Path] leads to. They do to the text what the same change
// does to the value that is read from it, and a line that they are not about keeps every
// byte. A value that the format has no way to write is an error that matches
// [ErrValue].
//
// Whether a configuration makes sense is not known here, and files are neither read nor
// written: see package config. A Doc is not safe for concurrent use.
package edit
