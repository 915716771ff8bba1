// Package spf checks whether a host may send mail for a domain, with the Sender
// Policy Framework.
//
// [Check] evaluates the records of the domain in MAIL FROM, or of the one in EHLO
// if the reverse-path is null; [CheckHELO] those of the one in EHLO. The [Result]
// has the word of RFC 7208 for it and writes a Received-SPF header field. [Parse]
// and [Record.String] are for records alone, and [Lookup] finds the record of a
// domain.
//
// An evaluation is one loop over a stack of records. Both include and redirect are
// steps of that loop and terms under the same limit, so that records cannot make it
// take more steps than RFC 7208 §4.6.4 allows, nor nest deeper. What that section
// leaves open is decided like this:
//
//   - A term counts when its evaluation begins. The eleventh is a permerror.
//   - Each %{p} counts as a term, since it takes the same lookups as "ptr"; not in
//     explanations, which are looked up when the result is known.
//   - A term counts as void once, however many of its lookups found nothing: an mx
//     whose hosts have addresses of the other IP version only is no attack. The third
//     void term is a permerror, unless it matched with other answers.
//   - That the client has no PTR record counts as void once, for the first "ptr" or
//     %{p}. Names of PTR records that have no address do not: the operator of the
//     domain has no say in them.
//   - A name that cannot be in DNS, such as from a macro, has no records, as if it
//     did not exist. It does not count as void, since there is no lookup.
//
// RFC 7208 contradicts itself in two places. "ptr" matches when a validated name is the
// target or below it, as most of §5.5 and its example have it, and not when it is above.
// And redirect= and exp= with a malformed domain are errors, where the grammar would
// let them pass as unknown modifiers.
//
// Nothing is kept between checks. All functions are safe for concurrent use.
//
// RFCs: 7208, 8616 (internationalised mail).
package spf
