//go:build !linux

package safefile

// ReadAhead does nothing: it is known how to tell the system on Linux only.
func ReadAhead(path string, size int64) error { return nil }
