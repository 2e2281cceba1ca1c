// Package seal says what a sealed text looks like: the bytes in which a title, a
// slug, metadata or a message's body lies in a record.
//
// The first byte is the kind. Numbers are big-endian.
//
//	kind 0, plaintext
//	  offset  size  what
//	  0       1     0
//	  1       n     the text
//
//	kind 1, AES-256-GCM
//	  offset  size  what
//	  0       1     1
//	  1       4     id of the data key, unique within the thread
//	  5       12    nonce, random
//	  17      n     ciphertext
//	  17+n    16    tag
//
// Plaintext serves only a store without keys. Whoever meets a kind that it does not
// know, or a text too short for its kind, answers ErrDamaged: it never guesses, and
// never gives out bytes that were not opened.
package seal
