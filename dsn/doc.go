// Package dsn writes and reads delivery status notifications, RFC 3464: messages
// that tell the sender of another message what became of it, in words and in
// a form for programs. It has the internationalised forms of RFC 6533.
//
// [Message] with its [Report] is a notification to be written with
// [Message.Compose]. [Parse] returns the Report of a notification that has come in.
//
// The package does not decide when to notify whom; the queue does. Values are
// plain data, and functions pure.
//
// RFCs: 3464 (format), 6522 (multipart/report), 6533 (UTF-8), 3461 (parameters that
// are returned), 4865 (Future-Release-Request), 3834 (Auto-Submitted).
package dsn
