//go:build !linux

package selfcheck

import "errors"

func networkFS(string) (string, error) { return "", nil }

func clockSynced() (bool, error) { return false, errors.ErrUnsupported }
