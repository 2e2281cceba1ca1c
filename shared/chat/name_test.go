package chat_test

import (
	"testing"

	"github.com/bobbindb/bobbin/shared/chat"
)

func TestMessageStatusNames(t *testing.T) {
	for status, want := range map[chat.MessageStatus]string{
		0: "", chat.InProgress: "in_progress", chat.Completed: "completed", chat.Incomplete: "incomplete", chat.Failed: "failed",
	} {
		if got := status.String(); got != want {
			t.Errorf("MessageStatus(%d).String() = %q, want %q", status, got, want)
		}
		if got, ok := chat.ParseMessageStatus(want); got != status || !ok {
			t.Errorf("ParseMessageStatus(%q) = %d, %v, want %d", want, got, ok, status)
		}
	}
	if got := chat.MessageStatus(5).String(); got != "" {
		t.Errorf("MessageStatus(5).String() = %q, want none", got)
	}
	if got, ok := chat.ParseMessageStatus("done"); got != 0 || ok {
		t.Errorf("ParseMessageStatus(done) = %d, %v, want none", got, ok)
	}
}

func TestRoleNames(t *testing.T) {
	for role, want := range map[chat.Role]string{chat.RoleReader: "reader", chat.RoleWriter: "writer", chat.RoleOwner: "owner"} {
		if got := role.String(); got != want {
			t.Errorf("Role(%d).String() = %q, want %q", role, got, want)
		}
		if got, ok := chat.ParseRole(want); got != role || !ok {
			t.Errorf("ParseRole(%q) = %d, %v, want %d", want, got, ok, role)
		}
	}
	if got := chat.Role(4).String(); got != "" {
		t.Errorf("Role(4).String() = %q, want none", got)
	}
	for _, name := range []string{"", "admin"} {
		if got, ok := chat.ParseRole(name); got != 0 || ok {
			t.Errorf("ParseRole(%q) = %d, %v, want none", name, got, ok)
		}
	}
}
