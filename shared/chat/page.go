package chat

// SortBy orders a list of threads.
type SortBy byte

// The orders of a list of threads.
const (
	ByCreated SortBy = 0
	ByUpdated SortBy = 1
)

// The bounds of a page.
const (
	DefaultLimit = 50
	MaxLimit     = 1000
	MaxPageBytes = 4 << 20 // of bodies
)

// ErrUnknownAnchor: a cursor that is not a key of this list.
var ErrUnknownAnchor = invalid("invalid_pagination", "invalid pagination: unknown anchor")

// Cursor says where a page begins. At most one of Before, After and Anchor is set.
type Cursor struct {
	Before string
	After  string
	Anchor string
	Limit  int // 1 to MaxLimit
}

// MessageQuery asks for a page of a thread's messages, oldest first.
type MessageQuery struct {
	Cursor
	IncludeDeleted bool
	Line           bool // only the line of parents that ends at the thread's head, or before Before
}

// ThreadQuery asks for a page of an owner's threads, newest first.
type ThreadQuery struct {
	Cursor
	SortBy   SortBy
	Status   *Status // nil for any
	SlugHash Digest  // of the slug, zero for any; with it, neither SortBy nor Status is set
}

// RevisionQuery asks for a page of a message's earlier texts, oldest first. Its cursors
// are numbers of revisions.
type RevisionQuery struct{ Cursor }

// Page is what a list says about its place in the whole.
type Page struct {
	HasBefore bool
	HasAfter  bool
	Total     int
	Uncounted bool // nobody knows the total
}

// ThreadPage is one page of threads, newest first.
type ThreadPage struct {
	Page
	Threads []*Thread
}

// MessagePage is one page of a thread's messages, oldest first. Thread is their
// thread, whose keys open them.
type MessagePage struct {
	Page
	Thread   *Thread
	Messages []*Message
}

// RevisionPage is one page of a message's earlier texts, oldest first. Thread is the
// message's, whose keys open them.
type RevisionPage struct {
	Page
	Thread    *Thread
	Message   *Message
	Revisions []*Revision
}
