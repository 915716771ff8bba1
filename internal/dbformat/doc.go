// Package dbformat opens databases of which each has a number for the format of its
// records, and keeps a copy of what there was before the format changes.
//
// Each package with a database has a number, which goes up with each change of the types
// of its records, or of what is in them. The database says which it has. If that is
// lower, [Open] checks the file, copies it to a file beside it, checks that too, and only
// then lets the records be changed. If it is higher, the database was written by a newer
// version of the program, and is not opened: this one would lose what it does not know.
//
// Copies are removed when the new format has been in use for [KeepSnapshots]. Until then
// [Back] puts one in the place of its database, which stays too, under another name.
//
// [OpenIn], [Verify] and [Copy] are what most packages with a database of their own need.
//
// All functions are safe for concurrent use on different files. Nobody must have the
// database open during [Open] and [Back].
package dbformat
