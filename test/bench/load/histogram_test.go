package load

import (
	"testing"
	"time"
)

func TestHistogramQuantiles(t *testing.T) {
	var h Histogram
	for i := 1; i <= 10_000; i++ {
		h.Record(time.Duration(i) * time.Microsecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 5 * time.Millisecond, 0.9: 9 * time.Millisecond, 0.99: 9900 * time.Microsecond, 1: 10 * time.Millisecond} {
		if got := h.Quantile(q); got < want || float64(got) > float64(want)*1.016 {
			t.Errorf("Quantile(%v) = %s, want %s or at most 1.6%% more", q, got, want)
		}
	}
	if h.Max() != 10*time.Millisecond || h.Count() != 10_000 || h.Mean() != 5000500*time.Nanosecond {
		t.Errorf("Max %s, Count %d, Mean %s", h.Max(), h.Count(), h.Mean())
	}
}

func TestHistogramBucketsHoldTheirValues(t *testing.T) {
	for _, v := range []uint64{0, 1, 63, 64, 65, 127, 128, 1000, 1 << 20, 1<<40 + 12345, 1<<63 - 1} {
		i := bucketOf(v)
		if end := uint64(bucketEnd(i)); end < v || float64(end) > float64(v)*1.016+1 {
			t.Errorf("value %d lies in bucket %d that ends at %d", v, i, end)
		}
		if v > 0 && uint64(bucketEnd(bucketOf(v)-1)) >= v {
			t.Errorf("value %d also fits the bucket below", v)
		}
	}
}

func TestHistogramEmpty(t *testing.T) {
	var h Histogram
	if h.Quantile(0.99) != 0 || h.Mean() != 0 || h.Max() != 0 {
		t.Error("an empty histogram has durations")
	}
}
