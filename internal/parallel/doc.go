// Package parallel does several things at the same time and waits for all of them, without
// leaving a panic to a goroutine in which nobody recovers it: that would end the program.
//
// It has no errors, contexts or log: functions that are called put their results where
// the caller finds them.
package parallel
