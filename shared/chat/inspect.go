package chat

import "context"

// Inspector shows an operator what a store holds. It opens no text and returns no
// value, so that nothing sealed, and nothing that should have been, leaves by it. Each
// answer shows at least what the position with it says of every partition it names.
type Inspector interface {
	// Stats counts the store, as of now.
	Stats(ctx context.Context) (Stats, Position, error)

	// Users lists the owners of every tenant, in the order of their keys. A cursor is a
	// UserKey.
	Users(ctx context.Context, c Cursor) (UserPage, Position, error)

	// Keys lists the entries of one partition's database, in order. A cursor is a key in
	// hex.
	Keys(ctx context.Context, q KeyQuery) (KeyPage, Position, error)

	// Key describes one entry. It returns ErrKeyNotFound when there is none.
	Key(ctx context.Context, partition int, key []byte) (StoredKey, Position, error)
}

// ErrKeyNotFound: the partition has no such entry, or the store no such partition.
var ErrKeyNotFound = &Error{Kind: NotFound, Code: "not_found", Text: "not found"}

// Stats counts a store. Threads and Messages are those that are not deleted.
type Stats struct {
	Threads    uint64
	Messages   uint64
	Users      uint64
	Partitions []PartitionStats
}

// PartitionStats counts one partition.
type PartitionStats struct {
	Partition       int
	Seq             uint64 // of the last commit
	Threads         uint64
	DeletedThreads  uint64
	Messages        uint64
	DeletedMessages uint64
	Users           uint64
}

// UserKey is the beginning of an owner's keyed hash: it names an owner of any tenant.
type UserKey [16]byte

// User is what an operator sees of an owner.
type User struct {
	Key     UserKey
	Owner   Owner
	Created int64
	Threads uint64 // not deleted
	Deleted uint64 // threads
}

// UserPage is one page of users.
type UserPage struct {
	Page
	Users []User
}

// KeyQuery asks for a page of a partition's entries whose keys begin with Prefix.
type KeyQuery struct {
	Cursor
	Partition int
	Prefix    []byte
}

// StoredKey describes an entry of a partition's database.
type StoredKey struct {
	Key  []byte
	Kind string
	Size int // of the value, in bytes
}

// KeyPage is one page of entries. Nobody counts them, so Total is not set.
type KeyPage struct {
	Page
	Keys []StoredKey
}
