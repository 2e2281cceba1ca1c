package peer

import "testing"

func TestKeysRoundTrip(t *testing.T) {
	const thread, created, seq = threadID(1_700_000_000_123_456_789), int64(42), sequence(17)
	threadKey := string(appendThreadKey(nil, thread))
	messageKey := string(appendMessageKey(nil, thread, created, seq))
	if want := "t:170000000012345678900000"; threadKey != want {
		t.Errorf("thread key %q, want %q", threadKey, want)
	}
	if want := threadKey + ":m:0000000000000000042:000000017"; messageKey != want {
		t.Errorf("message key %q, want %q", messageKey, want)
	}
	if got, err := parseThreadKey(threadKey); got != thread || err != nil {
		t.Errorf("parseThreadKey = %d, %v, want %d", got, err, thread)
	}
	if got, err := parseMessageKey(messageKey); got != seq || err != nil {
		t.Errorf("parseMessageKey = %d, %v, want %d", got, err, seq)
	}
	for _, bad := range []string{"", "t:", "t:00000", "170000000012345678900000", "t:x00000"} {
		if _, err := parseThreadKey(bad); err == nil {
			t.Errorf("parseThreadKey(%q) answered without an error", bad)
		}
	}
}
