// Package load is a small HTTP/1.1 load generator for servers on this machine.
//
// One goroutine drives every connection through epoll, writes request bytes
// that the caller made and reads answers with a parser that looks at nothing
// but the status, the length and the body. A generator that shares its cores
// with the server under test must cost little, or it measures itself.
package load
