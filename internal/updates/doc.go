// Package updates tells an operator that there is a newer version, and what has changed.
//
// The latest version is in a TXT record at _updates.<domain>. What has changed since a
// version comes over HTTPS, as JSON with entries that are signed with Ed25519: who runs
// the web server cannot write entries, and cannot leave out any, because each names the
// version before it. Nothing is downloaded besides, and nothing installed. Which domain,
// URL and key are asked is for the caller to say; there is no default.
//
// [Checker] does all of it once a day and hands a text over for delivery. It is used by
// one goroutine; all else is safe for concurrent use.
package updates
