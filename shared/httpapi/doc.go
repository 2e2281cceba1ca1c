// Package httpapi is the HTTP contract: it turns requests into calls of chat.Service
// and results into responses.
//
// A request passes these checks, in this order, and the first that refuses answers:
// CORS, OPTIONS, the list of allowed addresses, public paths, API key, rate limit,
// role, signature, route, key syntax, user, JSON, fields. Existence and ownership are decided
// behind chat.Service. The rate limit's bucket is the user's only once
// the signature was found good, so that nobody spends what is another's.
//
// Each handler has four beats (parse, call, check, answer) and returns an error
// instead of answering with one; error.go holds the one table from kinds of error to
// statuses. Requests are read with encoding/json, where a name that comes twice counts
// the last time and a body is kept as the bytes that were sent. Answers are appended
// to a buffer, bodies byte for byte.
package httpapi
