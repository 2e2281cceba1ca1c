package load

import (
	"math/bits"
	"time"
)

// subBits sets the histogram's precision: each power of two of nanoseconds is
// split in 64, so a quantile is at most 1.6% too high.
const subBits = 6

// Histogram counts durations in buckets of equal relative width. The zero value is empty.
type Histogram struct {
	counts [(64 - subBits + 1) << subBits]uint64
	total  uint64
	sum    time.Duration
	max    time.Duration
}

// Record counts one duration; a negative one counts as 0.
func (h *Histogram) Record(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(uint64(d))]++
	h.total++
	h.sum += d
	h.max = max(h.max, d)
}

// Count is the number of durations recorded.
func (h *Histogram) Count() int { return int(h.total) }

// Max is the longest duration, exactly.
func (h *Histogram) Max() time.Duration { return h.max }

// Mean is the average duration, exactly; 0 when empty.
func (h *Histogram) Mean() time.Duration {
	if h.total == 0 {
		return 0
	}
	return h.sum / time.Duration(h.total)
}

// Quantile is a duration that at least the fraction q of all are within, at
// most 1.6% above the least such; 0 when empty.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.total))
	if float64(rank) < q*float64(h.total) {
		rank++
	}
	var seen uint64
	for i, n := range h.counts {
		if seen += n; n > 0 && seen >= rank {
			return min(bucketEnd(i), h.max)
		}
	}
	return h.max
}

// bucketOf numbers the buckets: the values below 64 have one each; above, the
// number is the exponent followed by the six bits below the leading one.
func bucketOf(v uint64) int {
	if v < 1<<subBits {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return (shift+1)<<subBits | int(v>>shift)&(1<<subBits-1)
}

// bucketEnd is the largest value in bucket i.
func bucketEnd(i int) time.Duration {
	if i < 1<<subBits {
		return time.Duration(i)
	}
	shift := i>>subBits - 1
	first := uint64(1<<subBits|i&(1<<subBits-1)) << shift
	return time.Duration(first + 1<<shift - 1)
}
