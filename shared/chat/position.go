package chat

import (
	"strconv"
	"strings"
)

// Position says how far a reader has come: a commit number in each partition that it
// touched, on one branch.
type Position struct {
	Branch string
	Seqs   []PartitionSeq
}

// PartitionSeq is the commit number reached in one partition.
type PartitionSeq struct {
	Partition int
	Seq       uint64
}

// String is "<branch>:<p>=<seq>[,<p>=<seq>...]".
func (p Position) String() string {
	b := append(make([]byte, 0, len(p.Branch)+24), p.Branch...)
	for i, s := range p.Seqs {
		b = append(b, ":,"[min(i, 1)])
		b = strconv.AppendInt(b, int64(s.Partition), 10)
		b = append(b, '=')
		b = strconv.AppendUint(b, s.Seq, 10)
	}
	return string(b)
}

// Of is the number that the position asks for in a partition, 0 when none.
func (p Position) Of(partition int) uint64 {
	for _, s := range p.Seqs {
		if s.Partition == partition {
			return s.Seq
		}
	}
	return 0
}

var errPosition = invalid("invalid_position", "invalid position")

// ParsePosition reads what String writes.
func ParsePosition(s string) (Position, error) {
	branch, seqs, ok := strings.Cut(s, ":")
	if !ok || branch == "" || seqs == "" {
		return Position{}, errPosition
	}
	p := Position{Branch: branch}
	for part := range strings.SplitSeq(seqs, ",") {
		name, number, ok := strings.Cut(part, "=")
		n, err1 := strconv.ParseUint(name, 10, 16)
		seq, err2 := strconv.ParseUint(number, 10, 64)
		if !ok || err1 != nil || err2 != nil {
			return Position{}, errPosition
		}
		p.Seqs = append(p.Seqs, PartitionSeq{Partition: int(n), Seq: seq})
	}
	return p, nil
}

// Consistency says how new a read must be.
type Consistency byte

// What a reader may ask for.
const (
	Strong  Consistency = 0 // every write acknowledged before the read arrived
	Session Consistency = 1 // at least the position that the reader presents
	Stale   Consistency = 2 // whatever is here, at most a configured age
)
