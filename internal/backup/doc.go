// Package backup makes copies of all that a server keeps, and restores from them: the
// databases and messages of all accounts, the queue, keys and certificates, and the
// configuration. docs/backup.md is for operators, and says what is guaranteed.
//
// A backup is a place with snapshots. In a directory each snapshot is a tree of files,
// which are hard links to those of the one before where nothing changed. With encryption
// (age), or in storage that speaks the protocol of S3, files are cut into objects that are
// named by a hash of what is stored. Each snapshot has a manifest with the sizes and
// SHA-256 of all its files. It is written last: what has none is not complete.
//
// A database is copied in one short read transaction to local disk, and shipped from
// there; the files of messages that the copy names are kept from being removed until they
// are linked or copied. The queue comes before the accounts, so that no message is missed
// on its way from one to the other. Its messages are on hold in the copy.
//
// Run, Prune and restoring are to be called for one destination at a time, which a
// lock in a directory sees to. Reading needs none. Memory is bounded by the number of
// files in progress and does not grow with the number of messages.
package backup
