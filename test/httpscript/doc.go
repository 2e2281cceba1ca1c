// Package httpscript plays whole HTTP conversations, written down in text files,
// against an http.Handler.
//
// A file begins with header lines that every request has, then come the cases:
//
//	Authorization: Bearer secret
//
//	=== create a thread
//	POST /frontend/v1/threads
//	X-User-ID: u1
//
//	{"title":"one"}
//	--- 201
//	Location: /frontend/v1/threads/${_}
//
//	{"key":"${thread}"}
//
//	=== read it
//	GET /frontend/v1/threads/${thread|escape}
//	--- 200
//
//	{"thread":{"key":"${thread}","title":"one","...":"..."}}
//
// Lines that begin with # outside a body are comments; "# covers: transport-1" below a
// case's name says which lines of docs/http-api.md the case holds. In a request, ${name} stands
// for a variable, ${name|escape} for its value percent-encoded; a header whose value
// is "-" is not sent. A body is sent without its last line break; compressed when the
// request says Content-Encoding: gzip, unless it is quoted. A body that is one quoted
// Go string ("\xff\n") is sent as what it stands for.
//
// Of the answer, headers are compared by pattern; "-" means that there is none. In
// patterns ${name} takes whatever is there and remembers it, or must be what was
// remembered; ${_} takes anything. What follows the headers is one of
//
//	JSON, one value or several, compared as JSON: numbers by their spelling, strings
//	as patterns, a string that is one placeholder with any value, and an object with
//	a member "..." with more members than are shown;
//	lines of "~ text" and "!~ text": the body contains it, or does not;
//	"= text": that line is the whole body, byte for byte; "=" alone: it is empty.
package httpscript
