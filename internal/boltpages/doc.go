// Package boltpages checks, copies and compacts database files by their pages. All packages that keep a database
// have it done before they read records of one that may be damaged.
//
// It knows nothing of what is in them. Functions are safe for concurrent use.
package boltpages
