// Package checkpoint moves a database directory to the bucket and back.
//
// A checkpoint is an immutable, consistent copy of one partition's Pebble database:
// tables, each an object of its own that later checkpoints share, and one checkpoint
// object with every small file and the list of the tables. The manifest is the one
// object that changes: it names the newest checkpoint and is swapped by
// compare-and-swap. This package knows nothing about records.
//
// Upload takes what DB.Checkpoint wrote to the bucket. FS gives it back: a vfs.FS
// whose tables lie in the bucket and are fetched in chunks when they are first read,
// so that a database of any size opens without reading a table.
//
// # What the store must set
//
// A database that is opened on an FS with remote tables needs these Pebble options:
//
//   - DisableTableStats: background table statistics would read every table.
//   - EventListener.DataCorruption of its own: the default ends the process.
//   - DisableAutomaticCompactions in replicas; a compaction reads whole tables.
//   - MaxManifestFileSize of a few megabytes at most: the MANIFEST is copied into
//     every checkpoint object, and Pebble's default lets it grow to 128 MB.
//   - A Comparer that orders keys as bytes.Compare does: FS.PrefetchRange compares so.
//
// A sequential reader, such as a compaction, has the chunks to come fetched ahead, the
// beginning of the table that follows by key among them. Before a range is scanned on
// a cold database, FS.PrefetchRange fetches in one round what the scan will touch.
//
// # Checkpoint object, format 1
//
// All integers are big-endian; a "string" is a uvarint length and that many bytes.
//
//	0       4     magic "bbck"
//	4       1     format, 1
//	5       -     one zstd frame: seq u64, hash of the commit at seq [32], time of that
//	              commit i64, count of files uvarint, files, count of tables uvarint, tables
//	last    4     CRC-32C of everything before it
//
// A file is a name and a content string. A table is: local file name string, SHA-256
// [32], nonce string, size uvarint, offset of the first byte behind the data blocks
// uvarint, smallest and largest user key strings, count of fences uvarint, fences
// (strings). Fence i parts the data blocks that begin in chunk i and later ones from
// those that begin before it: keys of the former are at least the fence, keys of the
// latter at most.
//
// # Cached chunk, format 1
//
//	0       1     format, 1
//	1       4     CRC-32C of "<table name>/<chunk number>" and the bytes
//	5       -     the bytes of the chunk
package checkpoint
