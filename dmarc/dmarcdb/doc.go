// Package dmarcdb keeps what DMARC aggregate reports are about: the reports that
// others have sent about our domains, and evaluations of incoming messages, from
// which we will report to others.
//
// [DB.AddReport] stores a report that [NewIncoming] has made small, once, within
// limits: whoever owns a domain can send reports, and what is in them is only what
// the reporter says. [DB.Reports], [DB.Summaries] and [DB.Feedback] read them.
//
// [DB.AddEvaluation] counts a message. It does not wait for the disk: evaluations
// are written together within a second, those that are the same in all but time as
// one record an hour, and a crash may lose the last of them. [DB.EvaluationStats],
// [DB.Evaluations] and [DB.RemoveEvaluations] are for who sends reports. What is
// older than [EvaluationAge] is removed. [DB.Suppress] names addresses that get none.
//
// The package does not decide which reports are genuine (package inbound) and does
// not send any. A [DB] is the files dmarcrpt.db and dmarceval.db in the data
// directory. It is safe for concurrent use.
//
// RFCs: 9990 (aggregate reports), 7489 (the same, before).
package dmarcdb
