package peer

import (
	"fmt"
	"strconv"
	"strings"
)

// The keys have Bobbin's form, so that paths and answers are as long:
// t:<19-digit time><5-digit slot> and <thread>:m:<19-digit time>:<9-digit sequence>.
const (
	slot         = "00000"
	threadPrefix = "t:"
	messageMark  = ":m:"
)

// threadID is a thread's creation time in nanoseconds, made unique.
type threadID int64

// sequence is a message's number in its thread, from 0.
type sequence int32

func appendThreadKey(b []byte, id threadID) []byte {
	b = append(b, threadPrefix...)
	b = appendDigits(b, int64(id), 19)
	return append(b, slot...)
}

func appendMessageKey(b []byte, thread threadID, created int64, seq sequence) []byte {
	b = append(appendThreadKey(b, thread), messageMark...)
	b = append(appendDigits(b, created, 19), ':')
	return appendDigits(b, int64(seq), 9)
}

// appendDigits writes n with leading zeros.
func appendDigits(b []byte, n int64, width int) []byte {
	var digits [20]byte
	text := strconv.AppendInt(digits[:0], n, 10)
	for range width - len(text) {
		b = append(b, '0')
	}
	return append(b, text...)
}

func parseThreadKey(key string) (threadID, error) {
	digits, ok := strings.CutPrefix(key, threadPrefix)
	digits, slotted := strings.CutSuffix(digits, slot)
	id, err := strconv.ParseInt(digits, 10, 64)
	if !ok || !slotted || err != nil {
		return 0, fmt.Errorf("malformed thread key %q", key)
	}
	return threadID(id), nil
}

func parseMessageKey(key string) (sequence, error) {
	_, name, ok := strings.Cut(key, messageMark)
	_, digits, numbered := strings.Cut(name, ":")
	seq, err := strconv.ParseInt(digits, 10, 32)
	if !ok || !numbered || err != nil {
		return 0, fmt.Errorf("malformed message key %q", key)
	}
	return sequence(seq), nil
}
