// Package chat is the domain: threads, messages, who may do what to them, and the
// words in which the store answers. It knows no bucket, no database and no HTTP.
package chat
