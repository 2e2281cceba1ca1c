package blob_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/bobbindb/bobbin/shared/blob"
)

func TestCheckKey(t *testing.T) {
	for key, valid := range map[string]bool{
		"branches/main-7f3k2q/p000/log/00000000000000000001": true,
		"a.b=c_D-1": true, "a..": true,
		"": false, "/": false, "a/": false, "/a": false, "a//b": false,
		".a": false, "a/.b": false, "a/../b": false, "a b": false, "ä": false, "a\\b": false,
		strings.Repeat("a", blob.MaxSegmentSize):               true,
		strings.Repeat("a", blob.MaxSegmentSize+1):             false,
		strings.Repeat("a/", blob.MaxKeySize/2-1) + "aa":       true,
		strings.Repeat("a/", blob.MaxKeySize/2-1) + "aa" + "a": false,
	} {
		if err := blob.CheckKey(key); (err == nil) != valid || err != nil && !errors.Is(err, blob.ErrInvalidKey) {
			t.Errorf("CheckKey(%.60q) = %v, want valid to be %v", key, err, valid)
		}
	}
}

func TestPageSize(t *testing.T) {
	for limit, want := range map[int]int{-1: 1000, 0: 1000, 1: 1, 999: 999, 1000: 1000, 1001: 1000} {
		if got := (blob.ListOptions{Limit: limit}).PageSize(); got != want {
			t.Errorf("PageSize() with limit %d = %d, want %d", limit, got, want)
		}
	}
}
