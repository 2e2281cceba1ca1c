package blob

import (
	"errors"
	"fmt"
	"strings"
)

// ErrInvalidKey: the key is not one that a bucket can hold. Nothing was read or
// stored.
var ErrInvalidKey = errors.New("key is invalid")

// The longest key, and the longest segment of one, in bytes. S3 takes keys of 1024
// bytes; file systems take names of 255.
const (
	MaxKeySize     = 1024
	MaxSegmentSize = 255
)

// CheckKey returns ErrInvalidKey, wrapped with the reason, unless key is made as
// Bucket says. Every adapter calls it first, so that a key that one of them takes
// is taken by all.
func CheckKey(key string) error {
	if len(key) > MaxKeySize {
		return fmt.Errorf("%w: %d bytes, the most is %d", ErrInvalidKey, len(key), MaxKeySize)
	}
	for segment := range strings.SplitSeq(key, "/") {
		if !IsSegment(segment) {
			return fmt.Errorf("%w: %q has the segment %q", ErrInvalidKey, key, segment)
		}
	}
	return nil
}

// IsSegment reports whether s can stand between two slashes of a key.
func IsSegment(s string) bool {
	if s == "" || s[0] == '.' || len(s) > MaxSegmentSize {
		return false
	}
	for i := range len(s) {
		if !isKeyByte(s[i]) {
			return false
		}
	}
	return true
}

func isKeyByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '_' || c == '.' || c == '='
}

// PageSize is the number of entries that a page may have, from 1 to
// DefaultListLimit.
func (o ListOptions) PageSize() int {
	if o.Limit <= 0 || o.Limit > DefaultListLimit {
		return DefaultListLimit
	}
	return o.Limit
}
