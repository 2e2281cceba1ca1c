package chat

// Sealed is text as it is stored: closed by a Sealer, opened only by one.
type Sealed []byte

// Status says whether a thread is in use or put away.
type Status byte

// The states of a thread.
const (
	Open     Status = 0
	Archived Status = 1
)

// Role says what a member of a thread may do.
type Role byte

// The roles of a member.
const (
	RoleReader Role = 1 // reads
	RoleWriter Role = 2 // reads and posts
	RoleOwner  Role = 3 // does whatever the owner may
)

// Member is a user of the owner's tenant who takes part in a thread.
type Member struct {
	User string
	Role Role
}

// DataKey is a wrapped key in a thread's record: it opens what one author wrote there.
type DataKey struct {
	ID      uint32 // unique within the thread
	Author  Owner
	UserKey [16]byte // the user key that wraps it
	Wrapped []byte
	Uses    uint64 // texts sealed under it, as the writer counted them
}

// Thread is a conversation as it is stored. Times are nanoseconds since 1970 UTC; 0
// means "not set".
type Thread struct {
	ID       ThreadID
	Owner    Owner
	ClientID ClientID
	Created  int64 // as the client sees it; an import keeps the original
	Updated  int64 // moved by every change and every post
	Deleted  int64
	Expires  int64
	Status   Status
	Members  []Member
	Revision uint32 // counts changes of the thread itself; its ETag

	Title    Sealed
	Slug     Sealed // nil when not set
	Metadata Sealed // nil when not set, else a JSON object

	// At which revision of the thread each of them was written: they are sealed as that.
	TitleRevision    uint32
	SlugRevision     uint32
	MetadataRevision uint32

	SlugHash Digest // of the slug, zero when not set
	Content  Digest // of what it was created with, zero without a client id

	Head        int64 // time of the message that the next one answers, 0 for none
	LastTime    int64 // time in the key of the newest message, 0 for none
	NextSeq     uint32
	LastMessage int64 // when the newest message was created, as clients see it
	Live        uint32
	Dead        uint32 // soft-deleted messages
	Changed     uint64 // seq of the commit in which it last changed
	Keys        []DataKey

	// Purged is when it was purged, 0 as long as anybody knows it. What is left of it
	// then is on its way out.
	Purged int64
}

// RoleOf says what the caller may do here; 0 when nothing.
func (t *Thread) RoleOf(caller Owner) Role {
	if caller == t.Owner {
		return RoleOwner
	}
	if caller.Tenant != t.Owner.Tenant {
		return 0
	}
	for _, m := range t.Members {
		if m.User == caller.User {
			return m.Role
		}
	}
	return 0
}
