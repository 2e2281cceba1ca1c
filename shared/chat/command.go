package chat

import (
	"context"
	"time"
)

// SealFunc closes a draft's texts for the name that the writer decided. keys are the
// thread's data keys as they stand; a new one is returned when none serves.
type SealFunc func(thread ThreadID, message int64, revision uint32, keys []DataKey) (Texts, *DataKey, error)

// Texts are the sealed parts of a thread or a message.
type Texts struct {
	Title    Sealed
	Slug     Sealed
	Body     Sealed
	Metadata Sealed
}

// Draft carries texts to the writer. Within one process Seal is set, and the writer
// calls it with the name it decided. Across processes Texts are sealed already, under
// the time At; a writer that cannot take that time refuses with *TimeError.
type Draft struct {
	Seal  SealFunc
	Texts Texts
	Key   *DataKey // a data key that came with Texts, nil when the thread has it
	At    int64    // for an edit or an update, the revision that the texts are sealed as
	Size  int      // bytes of the texts, for whoever bounds a queue
}

// Closed reports whether the draft brings texts that are sealed already.
func (d *Draft) Closed() bool {
	return d.Texts.Title != nil || d.Texts.Slug != nil || d.Texts.Body != nil || d.Texts.Metadata != nil
}

// TimeError refuses a proposed time and says which is the next allowed.
type TimeError struct{ Next int64 }

// Error says it.
func (e *TimeError) Error() string { return "proposed time is not allowed" }

// Command is what a caller wants, under its own name: by whatever retry it arrives
// twice, it has one effect and one answer.
type Command struct {
	ID          CommandID
	RequestID   string
	Caller      Owner
	Slot        Slot  // of the owner or the thread it concerns
	NotAfter    int64 // refused when it has not been decided by then
	Idempotency *Idempotency
	Action      Action
}

// Lifetime is how long after its making a command may still be decided.
const Lifetime = 10 * time.Minute

// Idempotency is a caller's own name for a request: the first answer is the answer
// for 24 hours. Both are keyed hashes.
type Idempotency struct {
	Key     Digest // caller and Idempotency-Key
	Request Digest // method, path and body
}

// Action is what a command does: one of the structs below.
type Action interface{ action() }

// CreateThread makes a thread of the caller's, with messages when there are some.
type CreateThread struct {
	ClientID ClientID
	Content  Digest // of the whole request, when ClientID is set
	SlugHash Digest
	Status   Status
	Members  []Member
	Expires  int64
	Draft    Draft
	Messages []NewMessage
}

// UpdateThread changes what is set.
type UpdateThread struct {
	Thread  ThreadRef
	IfMatch []uint32 // revisions of which one must be current; nil for any
	Slug    *Digest  // hash of the slug that the draft brings; zero takes the slug away
	Status  *Status
	Expires *int64 // 0 for never
	Head    *MessageRef
	Draft   Draft

	// NoMetadata takes the metadata away.
	NoMetadata bool
}

// DeleteThread makes a thread a tombstone.
type DeleteThread struct {
	Thread  ThreadRef
	IfMatch []uint32
}

// NewMessage is one message to post.
type NewMessage struct {
	ClientID ClientID
	Content  Digest
	Created  int64  // 0 for now; an import brings the original
	Author   string // "" for the caller; an import brings the original
	Deleted  int64
	Updated  int64
	Revision uint32
	Parent   *MessageRef // nil for the thread's head
	Branch   bool        // leaves head where it is
	Status   MessageStatus
	Role     string
	Format   string
	Model    string
	ReplyTo  string
	Usage    []byte
	Expires  int64
	Draft    Draft
}

// PostMessages appends messages, all or none.
type PostMessages struct {
	Thread   ThreadRef
	Messages []NewMessage
}

// EditMessage gives a message another body; the earlier one is kept as a revision.
type EditMessage struct {
	Thread  ThreadRef
	Message MessageRef
	IfMatch []uint32
	Draft   Draft
}

// DeleteMessage makes a message a tombstone.
type DeleteMessage struct {
	Thread  ThreadRef
	Message MessageRef
	IfMatch []uint32
}

// UndeleteThread makes a deleted thread what it was. One that is not deleted stays as
// it is.
type UndeleteThread struct{ Thread ThreadRef }

// UndeleteMessage makes a deleted message what it was. One that is not deleted stays as
// it is.
type UndeleteMessage struct {
	Thread  ThreadRef
	Message MessageRef
}

// ImportThread makes a thread as it was elsewhere, or adds to it the messages that it
// lacks. Whoever imports the same again changes nothing.
type ImportThread struct {
	ClientID ClientID
	Created  int64
	Updated  int64 // 0 for the newest message's time
	Deleted  int64
	SlugHash Digest
	Status   Status
	Members  []Member
	Expires  int64
	Draft    Draft
	Messages []NewMessage // in order, each with a ClientID
}

// Purge removes for good what is due: a thread with all that is in it, or messages of a
// thread that stays. Whatever is not due by the commit's time stays as it is. A thread is
// unknown from the first of its commands on, which need not name all of its messages;
// those that are left are for further ones. Purging again changes nothing, so a Purge is
// not remembered by its id.
//
// Without a thread it only lets go of remembered answers whose time is over, as every
// command does on its way.
type Purge struct {
	Thread    ThreadID
	Messages  []int64       // times of the messages to look at, ascending
	Retention time.Duration // for which a deleted thread or message is kept
}

// UseKey makes a user key the one that the caller has in use, unless there is one. The
// result names the one in use. It concerns the caller's own slot. Repeating it changes
// nothing, so it is not remembered by its id.
type UseKey struct {
	ID  [16]byte
	KEK uint32 // version of the KEK that the key is stored under
}

// Due reports whether a thread or message that was deleted and expires at these times is
// to go; 0 is never.
func (p *Purge) Due(deleted, expires, now int64) bool {
	return deleted != 0 && deleted <= now-int64(p.Retention) || expires != 0 && expires <= now
}

func (*CreateThread) action()    {}
func (*UpdateThread) action()    {}
func (*DeleteThread) action()    {}
func (*UndeleteThread) action()  {}
func (*PostMessages) action()    {}
func (*EditMessage) action()     {}
func (*DeleteMessage) action()   {}
func (*UndeleteMessage) action() {}
func (*ImportThread) action()    {}
func (*Purge) action()           {}
func (*UseKey) action()          {}

// Result is a command's answer: the first one, however often it was asked.
type Result struct {
	Thread   ThreadID
	Messages []MessageID
	Revision uint32 // of what was changed
	Created  int    // messages that an import added
	Purged   Purged
	Key      [16]byte // the user key in use, for a UseKey
	Position Position
}

// Purged is what a Purge removed.
type Purged struct {
	Threads  int
	Messages int
	Left     int // messages of a thread that is gone, for the next Purge
}

// Writer makes commands happen.
type Writer interface {
	// Do returns once the command's commit is durable and applied, or refused. A
	// refusal is an *Error. Kind Unknown means that it may still happen; any other
	// error that nothing was stored. A cancelled ctx ends the wait, not the command.
	Do(ctx context.Context, cmd *Command) (Result, error)
}

// ReadOptions says how new a read must be.
type ReadOptions struct {
	Consistency Consistency
	Min         Position // waited for, when it names a partition of the read
}

// Reader answers reads. Errors are *Error. The position is the one that the answer was
// read at, also with an error from the store.
type Reader interface {
	// Thread reads a thread that the caller takes part in.
	Thread(ctx context.Context, caller Owner, ref ThreadRef, opts ReadOptions) (*Thread, Position, error)
	// Threads lists the caller's own threads.
	Threads(ctx context.Context, caller Owner, q ThreadQuery, opts ReadOptions) (ThreadPage, Position, error)
	// Message reads a message of a thread, and the thread.
	Message(ctx context.Context, caller Owner, thread ThreadRef, ref MessageRef, opts ReadOptions) (*Thread, *Message, Position, error)
	// Revisions lists the earlier texts of a message.
	Revisions(ctx context.Context, caller Owner, thread ThreadRef, ref MessageRef, q RevisionQuery, opts ReadOptions) (RevisionPage, Position, error)
	// Messages lists a thread's messages.
	Messages(ctx context.Context, caller Owner, ref ThreadRef, q MessageQuery, opts ReadOptions) (MessagePage, Position, error)
}
