// Package blobtest is for tests of and on buckets: the contract that every adapter
// keeps, as tests (Run, RunFolder), and buckets around a bucket that record what is
// asked of it (Recorder), answer late (Latency), or fail on cue (Faults).
package blobtest

import (
	"github.com/bobbindb/bobbin/shared/blob"
)

// Op is what a call asks for.
type Op string

// The methods of blob.Bucket and blob.Folder, but Dir.
const (
	Get       Op = "get"
	GetRange  Op = "get-range"
	Put       Op = "put"
	List      Op = "list"
	Delete    Op = "delete"
	Unchanged Op = "unchanged"
	OpenFile  Op = "open-file"
	PutFile   Op = "put-file"
	LinkFile  Op = "link-file"
)

// Call is one call of a bucket.
type Call struct {
	N    int    // counts the calls of one wrapper from 1, as they begin
	Op   Op     // what was asked for
	Key  string // of what; the prefix, for a List
	When blob.Condition

	// Bytes is the size of the body sent or received, or of the file stored. Of a
	// PutFile it is known only afterwards.
	Bytes int64

	// Err is the outcome, nil for success. It is unknown before the call. An
	// Unchanged has none.
	Err error
}
