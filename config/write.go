package config

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"

	"github.com/mjl-/sconf"

	"mox/internal/safefile"
)

// DescribeStatic writes a mox.conf with all fields and their documentation, and
// without values.
func DescribeStatic(w io.Writer) error {
	return sconf.Describe(w, &Static{})
}

// DescribeDomains writes a domains.conf with all fields and their documentation,
// and without values.
func DescribeDomains(w io.Writer) error {
	return sconf.Describe(w, &Dynamic{})
}

// Create writes a new mox.conf and domains.conf in a directory, with documentation
// for the fields in use. The files must not exist. What is written is checked
// first.
func Create(dir string, static Static, dynamic Dynamic) error {
	path := filepath.Join(dir, StaticName)
	var st, dyn bytes.Buffer
	if err := sconf.WriteDocs(&st, &static); err != nil {
		return fmt.Errorf("write %s: %w", StaticName, err)
	}
	if err := sconf.WriteDocs(&dyn, &dynamic); err != nil {
		return fmt.Errorf("write %s: %w", DynamicName, err)
	}
	if _, err := load(path, st.Bytes(), dyn.Bytes()); err != nil {
		return err
	}
	if err := safefile.CreateExcl(dynamicPath(path), dyn.Bytes(), 0660); err != nil {
		return err
	}
	if err := safefile.CreateExcl(path, st.Bytes(), 0660); err != nil {
		return err
	}
	return safefile.SyncDir(dir)
}
