// Package safefile has the file operations that the store's promises rest on:
// files that are on disk when a function returns, renames that are durable, a
// floor under free space, a lock on a directory, and the spool that a message is
// received into.
//
// All changes to the file system go through an [FS]. [OS] is the real one; tests
// put one in that fails at the k-th operation. Nothing here retries after a failed
// sync: after one the kernel may have dropped the dirty pages, and a second sync
// that succeeds would prove nothing.
//
// The package knows nothing of messages or accounts. Functions and [OS] are safe
// for concurrent use; see [Spool] for its rules.
package safefile
