package queuedb

import (
	"testing"

	"mox/internal/testkit"
)

func TestRecordsHaveTheTypesOfTheirFormat(t *testing.T) {
	t.Parallel()
	testkit.RecordFormat(t, "record", recordFormat, recordTypes()...)
}
