package engine

import (
	"testing"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/catalog"
)

// New is an engine on a new store. It closes with the test.
func New(t testing.TB, bucket blob.Bucket, partitions int) *Engine {
	t.Helper()
	s, err := Create(t.Context(), bucket, partitions)
	if err != nil {
		t.Fatal(err)
	}
	return Start(t, bucket, s)
}

// Start opens an engine that closes with the test.
func Start(t testing.TB, bucket blob.Bucket, s *catalog.Store) *Engine {
	t.Helper()
	e, err := Open(t.Context(), bucket, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}
