// Package conversation is the line in which a whole conversation travels: what an
// import reads and an export writes.
//
// A file holds one conversation a line, as JSON:
//
//	{"thread":{...},"messages":[{...},...]}
//
// Times are integers, nanoseconds since 1970 UTC. A thread has
//
//	id          1 to 128 of A-Za-z0-9._~@-; else made from "key", else from the line
//	author      the owner's user id
//	tenant      the owner's tenant; none if absent. A server takes the key's instead
//	title       a non-empty string
//	created_ts
//	members     a list of user ids, all writers, or {user: reader|writer|owner}; none if absent
//	slug, status (open|archived), metadata, updated_ts, deleted, expires_at  optional
//
// and each message, in the order in which they were said,
//
//	id          likewise; else made from "key", else "m" and its number from 0
//	author, created_ts
//	body        any JSON but null, kept byte for byte
//	parent      optional: "id:<id>" of the earlier message that it answers, when that
//	            is not the one just before it
//	branch      optional: true when the thread's head stayed where it was
//	role, status (in_progress|completed|incomplete|failed), format, model, usage,
//	reply_to, metadata, updated_ts, deleted, revision, expires_at  optional
//
// deleted is the time of deletion; true stands for the time of the last update. A key
// "t:123" makes the id "t-123". Names that are not listed are ignored. Append writes
// what differs from what Parse would assume, so a line that Append wrote means the
// same after any number of imports and exports. A message that answers none although
// it is not the first cannot be written down so; it answers the one before it.
package conversation
