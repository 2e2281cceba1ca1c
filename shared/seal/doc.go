// Package seal closes texts under keys. A closed text is the bytes in which a title, a
// slug, metadata or a message's body lies in a record.
//
// # Sealed texts
//
// The first byte is the kind. Numbers are big-endian.
//
//	kind 1, AES-256-GCM
//	  offset  size  what
//	  0       1     1
//	  1       4     id of the data key, unique within the thread
//	  5       12    nonce, random
//	  17      n     ciphertext of the packed text
//	  17+n    16    tag
//
// Kind 1 is byte for byte what Tink's AES-GCM writes with its own prefix, whose key id
// is ours: nothing is laid out twice. The packed text is a byte that says how the text
// follows it (0 as it is, 1 as one zstd frame), and that. What says so lies inside, so
// nobody can change it; who sees the bucket learns of a compressed text only how long
// it became. No two texts are compressed together, so nobody finds one out by having
// another one stored beside it.
//
// A text is bound, as associated data, to the store's id, the key of its thread or of
// its message up to the time ("t:...:m:<time>"), its revision and its field: any of
// them changed, it does not open.
//
// There is no kind for plaintext, and 0 is never given to any. Whoever meets a kind that
// it does not know, or a text too short for its kind, answers ErrDamaged: it never guesses, and
// never gives out bytes that were not opened.
//
// # Wrapped keys
//
// A key closed under another is a byte 1, a random nonce of 12 bytes, the ciphertext and
// a tag of 16 bytes. A data key (32 bytes, in its thread's record) is wrapped under the
// user key of its author, and bound to store, thread, its id there, its author and that
// user key. A user key is 64 bytes: one half wraps data keys, the other makes keyed
// hashes of what that user wrote, which die with it.
//
// # Nonces
//
// Nonces are random, so what bounds a key is how many there are. A thread's record counts
// the texts under each data key; past MaxUses the author gets a new one. A command is
// sealed at most 9 times before its writer takes it, and MaxUses leaves room for 16: in
// all a data key sees fewer than 2^32 nonces, and two of them are equal with a chance
// under 2^-32. A user key wraps one data key a thread and a KEK one key an owner and
// rewrap, which is far below that.
//
// # Memory
//
// What lies in a cache can be wiped: the bytes are overwritten, and who still holds the
// key gets ErrWiped. What AES derived from a key while it was used, and copies that Tink
// makes, are left to the garbage collector: Go gives nobody a hand on them.
package seal
