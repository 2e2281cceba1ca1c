package telemetry_test

import (
	"context"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/telemetry"
)

func TestCalls(t *testing.T) {
	b := telemetry.Bucket(memblob.New(time.Now), telemetry.New(telemetry.Release{}, nil), nil)
	var mine, other telemetry.Calls
	ctx := telemetry.WithCalls(t.Context(), &mine)
	b.Get(ctx, "a") // failures count too
	b.Get(telemetry.Carry(context.Background(), ctx), "b")
	b.Get(t.Context(), "c")
	b.Get(telemetry.Carry(t.Context(), t.Context()), "d")
	b.Get(telemetry.WithCalls(t.Context(), &other), "e")
	if mine.Number() != 2 || other.Number() != 1 {
		t.Errorf("%d and %d calls, want 2 and 1", mine.Number(), other.Number())
	}
	if mine.Took() <= 0 {
		t.Errorf("took %s", mine.Took())
	}
}
