// Package blob says what Bobbin asks of an object store.
//
// A Bucket holds named, immutable-or-swapped objects and answers two questions
// atomically: "create this unless it exists" and "replace this if it is still the
// version I read". Everything that Bobbin promises about never losing a write
// stands on these two. Adapters live in sub-packages; blobtest holds the contract
// as tests, and every adapter runs it.
package blob

import (
	"context"
	"errors"
	"os"
	"time"
)

// Errors that a caller acts on. Adapters wrap them with the act and the key.
var (
	// ErrNotExist: the bucket answered that there is no such object. A store that
	// refuses to say (403) is ErrDenied, never ErrNotExist.
	ErrNotExist = errors.New("object does not exist")

	// ErrExists: a Put with IfAbsent met an object, or a Put with IfMatch met
	// another version or no object at all. Nothing was stored by this call; an
	// earlier attempt whose reply was lost may be what it met.
	ErrExists = errors.New("object exists or has changed")

	// ErrDenied: the bucket refused for lack of permission. Nothing was stored.
	ErrDenied = errors.New("permission denied")

	// ErrNotStored: the bucket could not take the object (disk full, folder
	// read-only, quota), and certainly did not store it.
	ErrNotStored = errors.New("object was not stored")

	// ErrUnavailable: the bucket did not answer in time, answered 5xx, or answered
	// 409 ConditionalRequestConflict. A Put may or may not have been stored.
	ErrUnavailable = errors.New("bucket is unavailable")
)

// NotStored reports whether a Put that ended in err certainly stored nothing and would
// do no better if tried again. (ErrExists is another matter: there an earlier attempt
// may be what it met.)
func NotStored(err error) bool {
	return errors.Is(err, ErrDenied) || errors.Is(err, ErrNotStored) || errors.Is(err, ErrInvalidKey)
}

// ETag names one version of one object. Equal tags mean the same version; equal
// content under another tag is another version.
type ETag string

// Info is what the bucket says about an object, or about its absence.
type Info struct {
	ETag ETag
	Size int64 // of the whole object, in bytes, also after GetRange

	// Date is the bucket's own clock when it answered. It is set on every answer
	// that came from the bucket, ErrNotExist and ErrExists included, and zero when
	// no answer came. S3 gives whole seconds.
	Date time.Time
}

// Object is one object, or a range of it, as read.
type Object struct {
	Info
	Body []byte
}

// Condition says when a Put may take effect. The zero value is invalid: every
// write to a bucket is conditional.
type Condition struct {
	match  ETag
	absent bool
}

// IfAbsent lets a Put create an object that does not exist yet.
func IfAbsent() Condition { return Condition{absent: true} }

// IfMatch lets a Put replace exactly the version named.
func IfMatch(tag ETag) Condition { return Condition{match: tag} }

// Absent reports whether the condition is IfAbsent.
func (c Condition) Absent() bool { return c.absent }

// Match is the version an IfMatch condition names, "" for IfAbsent.
func (c Condition) Match() ETag { return c.match }

// Entry is one object in a listing.
type Entry struct {
	Key  string
	Size int64
}

// MaxSkew is how far two clocks may be apart that a store relies on: a process's and the
// bucket's, or the bucket's and its own at an earlier answer. Nobody commits beyond it.
const MaxSkew = 5 * time.Second

// ListOptions selects what a List returns.
type ListOptions struct {
	Prefix string // only keys that begin so
	After  string // only keys greater than this one; "" for all
	Limit  int    // at most so many entries; 0 means 1000, which is also the most
}

// Listing is one page of a listing, in byte order of keys.
type Listing struct {
	Entries []Entry
	More    bool // keys greater than the last entry may follow
	Date    time.Time
}

// Bucket is a flat map from keys to objects. Keys are slash-separated segments of
// lower- or upper-case letters, digits and "-_.=", no segment empty or beginning
// with a dot, none over MaxSegmentSize bytes and the whole not over MaxKeySize. Any
// other key gives ErrInvalidKey (see CheckKey). No key may be another one's
// directory: where there is "a/b", a Bucket may refuse "a", with ErrNotStored. Nor
// may two keys differ only in the case of letters.
//
// Reads see every write that was answered before they began (read-after-write,
// list-after-write). Of any number of concurrent Puts on one key with IfAbsent, or
// with IfMatch of the same tag, exactly one takes effect. An object is durable
// before its Put returns, and is never seen in part.
//
// All methods may be called concurrently. A cancelled context ends a call with
// ctx's error; a Put so ended may or may not have been stored.
type Bucket interface {
	// Get reads a whole object. It returns ErrNotExist, with Info.Date set, when
	// there is none.
	Get(ctx context.Context, key string) (Object, error)

	// GetRange reads size bytes from offset, fewer where the object ends first,
	// none (and no error) where it begins past the end. A negative offset or size is
	// an error.
	GetRange(ctx context.Context, key string, offset, size int64) (Object, error)

	// Put stores body under key if the condition holds, and returns the new
	// version. ErrExists means that it did not hold. After ErrDenied, ErrNotStored and
	// ErrInvalidKey nothing was stored. After any other error the object may or may
	// not have been stored, now or later: read it back. What a read then finds is as
	// durable as after a Put. The zero Condition, or IfMatch of no tag, is
	// ErrNotStored.
	Put(ctx context.Context, key string, body []byte, when Condition) (Info, error)

	// List returns one page of entries.
	List(ctx context.Context, opts ListOptions) (Listing, error)

	// Delete removes an object. Deleting what is not there is no error. After an
	// error the object may or may not be there. In a Folder, a crash of the machine
	// soon after may bring it back.
	Delete(ctx context.Context, key string) error
}

// Folder is the optional, second interface of a Bucket whose objects are files on
// this machine: there a look is cheap, a table is opened in place, and the bucket's
// clock is this machine's own, which may step.
type Folder interface {
	Bucket

	// Unchanged reports whether the object is still the version last read from or
	// written to this Folder value under that tag. It costs one stat, and keeps the
	// file it compares with open, so that its inode cannot come back. False means
	// "read it".
	Unchanged(key string, tag ETag) bool

	// OpenFile opens the object in place, for reading. It returns ErrNotExist when
	// there is none.
	OpenFile(key string) (*os.File, error)

	// PutFile stores the file at path under key, if absent, without copying where
	// the file system can link. The file must not change afterwards. It is durable
	// before PutFile returns. Errors are those of Put. (Where it is linked, its
	// version is that of the file: the same file stored again after a Delete may have
	// the same ETag.)
	PutFile(ctx context.Context, key, path string) (Info, error)

	// LinkFile gives the object a second name at path outside the bucket, or copies
	// it where the file system cannot link; either way the file appears there whole.
	// It returns ErrNotExist when there is no object, and fs.ErrExist when path is
	// taken. The file must not be changed: it is the object.
	LinkFile(key, path string) error

	// Dir is the folder, for what must live beside the objects on one file system.
	Dir() string
}

// DefaultListLimit is the page size of a List whose Limit is 0, and the largest.
const DefaultListLimit = 1000
