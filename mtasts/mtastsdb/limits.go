package mtastsdb

import "time"

const (
	// MaxPolicies is for how many domains something is kept. Beyond it, those go that
	// were not used for the longest time.
	MaxPolicies = 50_000

	// Backoff is for how long a policy that could not be fetched is not tried again.
	Backoff = 5 * time.Minute

	// Unused is after how long without use a policy is forgotten.
	Unused = 180 * 24 * time.Hour

	// RefreshInterval is how often all policies are looked at, RFC 8461 §3.3, and
	// RefreshAge how old they are when they are refreshed.
	RefreshInterval = 24 * time.Hour
	RefreshAge      = 12 * time.Hour

	// RefreshSpread is over which time the refreshes of a round are spread.
	RefreshSpread = 3 * time.Hour
)

const (
	// firstRefresh is how long after the start the first round begins, at most.
	firstRefresh = 10 * time.Minute

	// refreshConcurrent is how many policies are refreshed at the same time.
	refreshConcurrent = 10

	// lookupTimeout is for the lookup of a record.
	lookupTimeout = 30 * time.Second

	// updateTimeout is for fetching a policy when there is an older one that can be used.
	// For a first one it is that of package mtasts.
	updateTimeout = 30 * time.Second

	// minValid is for how long a policy is used whose max_age is shorter.
	minValid = time.Minute

	// recordAge and missingAge are for how long it is remembered which record there is,
	// and that there is none.
	recordAge  = time.Minute
	missingAge = 5 * time.Minute

	// maxRecords is for how many domains that is remembered.
	maxRecords = 10_000

	// useStep is how exactly it is known when a policy was used: each change is a write
	// to disk.
	useStep = 24 * time.Hour

	// removeBatch is how many records are removed in one transaction.
	removeBatch = 1000
)
