// Package powercut finds out what a power cut would leave of the files that a
// program writes. A kill leaves the page cache, so that a forgotten sync is not
// noticed; a power cut does not.
//
// Mount puts a recording file system (FUSE) over a directory: each change, each
// sync and each mark that the test sets is written to a log, in order. A Replay
// goes through such a log and builds, for any point in it, a directory as it may
// be after power was lost there: what was synced is there; of what was not, all,
// nothing or an arbitrary part of the writes and of the names is.
//
// The rules are those of POSIX, stricter than any one file system: fsync of a file
// makes its content durable, not its name; fsync of a directory makes the names in
// it durable, not what they name.
//
// The same file system makes the k-th operation of some kinds fail, also those of
// libraries that open files themselves, such as a database.
//
// It is for tests, and for Linux as root with /dev/fuse.
package powercut
