package blob

import (
	"crypto/rand"
	"strings"
)

// Nonce is n random lower-case letters and digits, 26 at most: a segment of a key, or
// what tells one write's body from another's. 26 have 130 bits.
func Nonce(n int) string { return strings.ToLower(rand.Text())[:n] }
