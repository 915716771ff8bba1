// Package boltpages checks the pages of database files. All packages that keep a database
// have it done before they read records of one that may be damaged.
//
// It knows nothing of what is in them. Functions are safe for concurrent use.
package boltpages
