package dmarcdb

import "mox/internal/reportdb"

// reportFormat is the number of the format of the records, see package dbformat: it goes up
// with each change of their types, or of what is in them.
const reportFormat = 1

// reportTypes returns the types of the records.
func reportTypes() []any {
	return []any{Report{}, content{}, reportUsage{}}
}

// evaluationFormat is the number of the format of the records, see package dbformat: it goes up
// with each change of their types, or of what is in them.
const evaluationFormat = 1

// evaluationTypes returns the types of the records.
func evaluationTypes() []any {
	return []any{Evaluation{}, evaluationUsage{}, reportdb.Suppression{}}
}
