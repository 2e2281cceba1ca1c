package blob_test

import (
	"testing"

	"github.com/bobbindb/bobbin/shared/blob"
)

func TestNonce(t *testing.T) {
	for _, n := range []int{8, 12, 26} {
		one, other := blob.Nonce(n), blob.Nonce(n)
		if len(one) != n || one == other || !blob.IsSegment(one) {
			t.Errorf("Nonce(%d) = %q, then %q, want two segments of that length", n, one, other)
		}
	}
}
