// Package background does work for accounts a moment after it came up, a step at a time,
// and tries again later what fails. What a step is, is up to its user; an account is a name.
//
// [Scheduler.Wake] only takes note that there is something to do. After a delay a worker
// runs a step for the account, which says whether there is more: then the account queues up
// again, behind those that have waited longer. Never do two steps run for an account at the
// same time. After a failure it waits, twice as long after each one more, and so does what
// comes up meanwhile.
//
// What is not to wait is done with [Scheduler.Do], which keeps steps for its account away.
// It must do all there is: a step that is due meanwhile is left out.
//
// Nothing is kept on disk, and what is planned is lost when the process ends: at the start,
// whoever may have something to do is woken. The package does not recover panics of a step,
// and has no log. A [Scheduler] is safe for concurrent use.
package background
