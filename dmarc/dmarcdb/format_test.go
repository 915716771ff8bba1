package dmarcdb

import (
	"testing"

	"mox/internal/testkit"
)

func TestRecordsHaveTheTypesOfTheirFormat(t *testing.T) {
	t.Parallel()
	testkit.RecordFormat(t, "report", reportFormat, reportTypes()...)
	testkit.RecordFormat(t, "evaluation", evaluationFormat, evaluationTypes()...)
}
