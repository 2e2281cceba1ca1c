// Package keyring keeps a store's KEK versions and user keys in its bucket.
//
// # Objects
//
//	keys/kek/<version, 8 digits>            a KEK, wrapped by the Keeper
//	keys/users/<owner's hash>/<key id>      a user key, wrapped under a KEK version
//
// Hash and id are in hex. Records are binary, numbers big-endian. A KEK's record:
//
//	offset  size  what
//	0       1     1, the version of the format
//	1       1     1 in use, 2 retired
//	2       4     the KEK version
//	6       8     when it was made, or retired, in nanoseconds since 1970 UTC
//	14      2     length of the Keeper's name          (in use only, as all below)
//	16      n     the Keeper's name, for a status
//	16+n    2     length of the wrapped KEK
//	18+n    m     what the Keeper wrapped for {store, "kek/<version>"}
//
// A retired one ends with 16 random bytes instead, so that no two are alike. A user
// key's record:
//
//	offset  size  what
//	0       1     1, the version of the format
//	1       1     1 in use, 2 erased
//	2       4     the KEK version that wraps it        (in use)
//	6       93    the wrapped key (package seal), bound to store, owner's hash, id and
//	              KEK version
//	2       8     when it was erased                   (erased)
//	10      16    random
//
// # Rules
//
// An id is random and never used again, and the record of an erased key stays: whoever
// creates it again, late, meets it. A record is only ever changed by a conditional swap
// of the version that was read: to a higher KEK version (rewrap), or to a tombstone
// (shred). So nothing brings an erased key back, whatever order its calls come in.
//
// Which key an owner has in use the store says, in the owner's record: of two processes
// that make an owner's first key at once, one names its own there, and the other's is
// garbage that nothing was ever sealed under.
//
// # In memory
//
// A KEK is unwrapped once for a process, and kept: the Keeper is asked no more. An
// unwrapped user key is used only while both this machine's clock and the newest Date
// that the bucket gave say that its record was read less than Age ago; it is wiped when
// it is older, when others need the place, and when its owner is forgotten.
package keyring
