package tlsrptdb

import "mox/internal/reportdb"

// recordFormat is the number of the format of the records, see package dbformat: it goes up
// with each change of their types, or of what is in them.
const recordFormat = 1

// recordTypes returns the types of the records.
func recordTypes() []any {
	return []any{Report{}, content{}, usage{}}
}

// resultFormat is the number of the format of the records, see package dbformat: it goes up
// with each change of their types, or of what is in them.
const resultFormat = 1

// resultTypes returns the types of the records.
func resultTypes() []any {
	return []any{TLSResult{}, reportdb.Suppression{}, tlsHost{}, resultUsage{}}
}
