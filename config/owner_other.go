//go:build !unix

package config

import (
	"io/fs"
	"os"
)

// keepOwner does nothing: files have no owner and group here.
func keepOwner(*os.File, fs.FileInfo) error { return nil }
