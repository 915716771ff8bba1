// Package queuedb keeps the messages that wait to be delivered: records in a
// database and one file per content, on stable storage before [DB.Enqueue]
// returns. It has records and queries; when to try, where to deliver to, and what
// to tell the sender is for package queue, and nothing here touches the network.
//
// # Records
//
// A submission has one content, a file with the message as submitted, and one
// [Message] for each recipient, which is what an attempt rewrites. Messages are
// found by what is asked of them: next attempt, recipient domain, account and
// fromid. Each message is in a lane, named after the recipient domain. A lane
// records when its first message is due, so finding what is due next takes a time
// that depends on the number of lanes at work and not on the length of the queue.
//
// # Durability
//
// The file of a content gets an id from a range that was reserved on disk before,
// is created with O_EXCL and synced. The record follows in a commit that comes
// after a sync of the directory. When the last message of a content goes, one
// commit deletes its record and inserts an erase row; then the file is removed,
// the directory synced, and the erase row deleted. So after a crash each file
// either has a record, or an erase row that removes it, or is in the reserved
// range, in which case it was never acknowledged and is moved to a directory
// "lost" for the operator to look at. No file is ever overwritten.
//
// Changes that wait at the same time share a commit; one that comes alone is
// committed at once. A change that cannot be applied fails alone: the others of
// its batch are then done one by one. After a failed sync or commit it is unknown
// what is on disk, so the database refuses changes until [DB.Reopen] has read it
// again and verified it.
//
// # Concurrency
//
// A [DB] is safe for concurrent use. One goroutine commits, another removes files;
// Close waits for both. Reads copy what they need and leave no transaction open.
//
// RFCs: 4865 (FUTURERELEASE, kept verbatim for delivery status notifications).
package queuedb
