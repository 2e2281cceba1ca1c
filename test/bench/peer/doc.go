// Package peer is what Bobbin is measured against: PostgreSQL behind a thin
// HTTP server that speaks the same few routes with answers of the same shape
// and size. The database runs on a private Unix socket in a private folder,
// with fsync and synchronous_commit on; the server checks no keys and seals
// nothing, so that what it costs is the database and HTTP.
package peer
