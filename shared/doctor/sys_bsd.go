//go:build darwin || freebsd

package doctor

import "syscall"

const readOnlyFlag = 0x1 // MNT_RDONLY of statfs(2)

// nameOf is the name that the system has for a file system.
func nameOf(s *syscall.Statfs_t) (string, kind) {
	var name []byte
	for _, c := range s.Fstypename {
		if c == 0 {
			break
		}
		name = append(name, byte(c))
	}
	switch string(name) {
	case "nfs", "smbfs", "afpfs", "webdav", "fusefs", "macfuse", "osxfuse", "9p", "p9fs", "virtiofs":
		return string(name), network
	case "tmpfs":
		return string(name), memory
	case "unionfs", "nullfs":
		return string(name), layered
	}
	return string(name), local
}
