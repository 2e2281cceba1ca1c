// Package store lays threads and messages out in a Pebble database: keys, records,
// how a commit is applied, how a page is read.
//
// # Keys, format 1
//
// All integers are big-endian and fixed in width, so that keys sort as they read.
// "owner" is the first 16 bytes of the owner's keyed hash; "time" is the 8 bytes of
// a time in nanoseconds.
//
//	00 'c'                                  counters of the partition
//	00 'p'                                  position: seq, hash and time of the last commit
//	00 'x' name                             state that control records set (freeze, format, seal)
//	01 day[4] digest[16]                    idempotency entry
//	02 quarter[4] id[16]                    command id entry
//	10 slot[2] 'c' owner seq[8] time time   change: of a thread (second time 0) or message
//	10 slot[2] 'd' time time time           deletion: when, thread, message (0 for the thread)
//	10 slot[2] 'e' time time time           expiry: when, thread, message (0 for the thread)
//	10 slot[2] 'i' owner id                 a thread by its client's id -> its time
//	10 slot[2] 'l' owner state time         an owner's threads by creation
//	10 slot[2] 'o' owner                    the owner's record
//	10 slot[2] 's' owner slug[16] time      a thread by the hash of its slug
//	10 slot[2] 't' time 00                  a thread's record
//	10 slot[2] 't' time 'i' id              a message by its client's id -> its time
//	10 slot[2] 't' time 'm' time            a live message's record
//	10 slot[2] 't' time 'n' time            a deleted message's record
//	10 slot[2] 't' time 'p' time            a purged message's link -> time of what it answered
//	10 slot[2] 't' time 'r' time rev[4]     an earlier text of a message
//	10 slot[2] 'u' owner state time time    an owner's threads by last update, thread
//
// A thread's record lies before its messages, so that one page reads one place.
// Deleted messages are siblings of live ones, and state ('a' archived, 'd' deleted,
// 'o' open) stands before time in an owner's lists, so that a page of live items never
// walks past dead ones. What waits to be purged stands by its time under 'd' and 'e',
// side by side, so that what is due is found without a look at what is not. Idempotency and command entries stand outside slots and begin
// with their period, so that a whole period goes by one delete-range.
//
// A thread that is purged is unknown from one commit on: its record keeps only what the
// removal of its messages needs, which takes more commits where there are many, and
// stands nowhere but under 'd' at time 0.
//
// # Records, format 1
//
// A record is a version byte, 1, and protobuf wire-format fields in ascending order,
// absent when zero. The field numbers stand in record.go beside their codecs.
package store
