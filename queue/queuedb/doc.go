// Package queuedb keeps the messages that wait to be delivered: records in a
// database and one file per content, on stable storage before [DB.Enqueue]
// returns. It has records and queries; when to try, where to deliver to, and what
// to tell the sender is for package queue, and nothing here touches the network.
//
// # Records
//
// A submission has one content, a file with the message as submitted, and one
// [Message] for each recipient, which is what an attempt rewrites. Messages are
// found by what is asked of them: next attempt, recipient domain, account, fromid,
// Message-ID and ENVID. Each message is in a lane, named after the recipient domain,
// and in a flow of that lane: those of one account, bulk mail apart from the rest. A
// flow records when its first message is due; [DB.Watch] tells all of them and then
// those that change, so that what is due next is known without reading the queue.
//
// Besides messages there are rules that hold them as they are queued, addresses that
// accounts do not send to any more, and how much each account has sent of late, by
// which bulk mail is told from that of persons, and by which it is noticed that
// someone else sends with its password.
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
