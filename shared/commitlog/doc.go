// Package commitlog keeps one partition's log: immutable commits on a bucket, each
// created under the next number by exactly one process.
//
// # Commit object, format 1
//
// All integers are big-endian; a "string" is a uvarint length and that many bytes.
//
//	offset  size  field
//	0       4     magic "bbcm"
//	4       1     format, 1
//	5       4     n, the length of the core's remainder
//	9       n     core: seq u64, time i64 (ns since 1970 UTC), hash of the previous
//	              commit [32], nonce [16], release string, count of ops uvarint, ops
//	9+n     4     CRC-32C of everything before it
//	13+n    -     carried predecessors: count u8, then for each, newest first, its
//	              length u32 and the bytes of its core from magic on (without CRC)
//	...     4     CRC-32C of the carried part
//
// An op is a kind byte and its fields: set (1) key and value strings; delete (2) a
// key string; delete-range (3) two key strings, the second exclusive; control (4) a
// name and a value string.
//
// The hash of a commit is the SHA-256 of its core, from the magic on. Carried
// predecessors stand outside it: they save a cold reader round trips, are verified
// backwards by hash, and prove nothing by themselves.
//
// # Segment object, format 1
//
//	0       4     magic "bbsg"
//	4       1     format, 1
//	5       -     one zstd frame: for each commit, oldest first, its length u32 and
//	              the bytes of its core from magic on
//	last    4     CRC-32C of everything before it
//
// Its key is segments/<from>-<to>-<nonce>: the seqs of the first and the last commit, 20
// digits each, and letters and digits that make the name new. A segment proves nothing
// by itself: it counts where it chains back from a commit that is named elsewhere.
package commitlog
