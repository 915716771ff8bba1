package tracedb

// recordFormat is the number of the format of the records, see package dbformat: it goes up
// with each change of their types, or of what is in them.
const recordFormat = 2

// recordTypes returns the types of the records.
func recordTypes() []any {
	return []any{message{}, chunk{}, key{}, state{}, renamed{}}
}
