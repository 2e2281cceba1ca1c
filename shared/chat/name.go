package chat

import "slices"

// messageStatuses are the names of a message's states by number.
var messageStatuses = []string{0: "", InProgress: "in_progress", Completed: "completed", Incomplete: "incomplete", Failed: "failed"}

// String is the name of a state as clients write it: "" for none, and for a number that
// no release has written.
func (s MessageStatus) String() string { return wordAt(messageStatuses, int(s)) }

// ParseMessageStatus reads what String wrote.
func ParseMessageStatus(name string) (MessageStatus, bool) {
	i := slices.Index(messageStatuses, name)
	return MessageStatus(max(i, 0)), i >= 0
}

// roles are the names of a member's roles by number.
var roles = []string{0: "", RoleReader: "reader", RoleWriter: "writer", RoleOwner: "owner"}

// String is the name of a role as clients write it: "" for what is no role.
func (r Role) String() string { return wordAt(roles, int(r)) }

// ParseRole reads what String wrote. The empty name is no role's.
func ParseRole(name string) (Role, bool) {
	i := slices.Index(roles, name)
	return Role(max(i, 0)), i > 0
}

func wordAt(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return ""
}
