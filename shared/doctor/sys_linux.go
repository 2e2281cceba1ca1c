package doctor

import (
	"fmt"
	"syscall"
)

const readOnlyFlag = 0x1 // ST_RDONLY of statfs(2)

// fileSystems are those of statfs(2) that a store is met on, by their magic numbers.
var fileSystems = map[uint32]struct {
	name string
	kind kind
}{
	0x0000ef53: {"ext4", local}, // ext2 and ext3 too
	0x58465342: {"xfs", local},
	0x9123683e: {"btrfs", local},
	0x2fc12fc1: {"zfs", local},
	0xf2f52010: {"f2fs", local},
	0xca451a4e: {"bcachefs", local},
	0x3153464a: {"jfs", local},
	0x52654973: {"reiserfs", local},
	0x0000f15f: {"ecryptfs", local},
	0x00004d44: {"fat", local},
	0x2011bab0: {"exfat", local},
	0x7366746e: {"ntfs3", local},
	0x5346544e: {"ntfs", local},
	0x01021994: {"tmpfs", memory},
	0x858458f6: {"ramfs", memory},
	0x794c7630: {"overlayfs", layered},
	0x61756673: {"aufs", layered},
	0x00006969: {"nfs", network},
	0xff534d42: {"cifs", network},
	0xfe534d42: {"smb2", network},
	0x0000517b: {"smb", network},
	0x01021997: {"9p", network},
	0x65735546: {"fuse", network}, // sshfs, s3fs, gcsfuse and many more
	0x00c36400: {"ceph", network},
	0x0bd00bd0: {"lustre", network},
	0x47504653: {"gpfs", network},
	0x01161970: {"gfs2", network},
	0x7461636f: {"ocfs2", network},
	0x5346414f: {"afs", network},
	0x6b414653: {"kafs", network},
	0x73757245: {"coda", network},
	0x19830326: {"beegfs", network},
	0x786f4256: {"vboxsf", network},
	0xbacbacbc: {"vmhgfs", network},
}

func nameOf(s *syscall.Statfs_t) (string, kind) {
	magic := uint32(s.Type)
	if known, there := fileSystems[magic]; there {
		return known.name, known.kind
	}
	return fmt.Sprintf("file system %#x", magic), local
}
