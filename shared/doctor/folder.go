package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
)

// links wants a file that is stored, and an object that is taken out, to be one file.
func (p *patient) links(ctx context.Context, folders []blob.Folder) (Finding, error) {
	body := random(70_000)
	source, back := filepath.Join(p.Files, "source"), filepath.Join(p.Files, "back")
	if err := os.WriteFile(source, body, 0o600); err != nil {
		return Finding{}, fmt.Errorf("write a file: %w", err)
	}
	defer os.Remove(source)
	key := p.key("linked")
	if _, err := folders[0].PutFile(ctx, key, source); err != nil {
		return Finding{}, fmt.Errorf("store a file: %w", err)
	}
	last := folders[len(folders)-1]
	if err := last.LinkFile(key, back); err != nil {
		return Finding{}, fmt.Errorf("take an object out: %w", err)
	}
	defer os.Remove(back)
	if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, body) {
		return Finding{}, errors.Join(broken("an object that was taken out is not what was stored"), err)
	}
	if err := wantBody(ctx, last, key, body); err != nil {
		return Finding{}, err
	}
	from, err := os.Stat(source)
	if err != nil {
		return Finding{}, fmt.Errorf("look at a file: %w", err)
	}
	to, err := os.Stat(back)
	if err != nil {
		return Finding{}, fmt.Errorf("look at a file: %w", err)
	}
	if !os.SameFile(from, to) {
		return warn("choose a file system with hard links; without them every table is there twice", "files are copied, not linked"), nil
	}
	return ok("files are linked, not copied"), nil
}

// unchanged wants a look at an object to see that another handle swapped it. A strong
// read stands on that.
func (p *patient) unchanged(ctx context.Context, folders []blob.Folder) (Finding, error) {
	key := p.key("looked-at")
	info, err := folders[0].Put(ctx, key, []byte("0"), blob.IfAbsent())
	if err != nil {
		return Finding{}, fmt.Errorf("create: %w", err)
	}
	for round := range p.rounds {
		looks, swaps := folders[round%len(folders)], folders[(round+1)%len(folders)]
		if !looks.Unchanged(key, info.ETag) {
			return Finding{}, broken("an object seems to have changed that nobody swapped")
		}
		next, err := swaps.Put(ctx, key, fmt.Append(nil, round+1), blob.IfMatch(info.ETag))
		if err != nil {
			return Finding{}, fmt.Errorf("swap: %w", err)
		}
		if looks.Unchanged(key, info.ETag) {
			return Finding{}, broken("an object that was swapped seems unchanged")
		}
		info = next
	}
	return ok("a swap is seen at once, %s", times(p.rounds)), nil
}

// Least room that a store needs to go on, and room below which somebody should know.
const (
	leastBytes, fewBytes   = 64 << 20, 1 << 30
	leastInodes, fewInodes = 1000, 20_000
)

// Volume checks where a folder lies, without writing there. It advises to change the
// folder only where that is the store's own.
func Volume(ctx context.Context, dir string, own bool) []Finding {
	return run(ctx, []check{
		{"file system", false, "mount it for writing, on a local disk", func(context.Context) (Finding, error) { return fileSystem(dir) }},
		{"room", false, "make room on the disk", func(context.Context) (Finding, error) { return room(dir) }},
		{"owner and mode", false, "check --db", func(context.Context) (Finding, error) { return ownerAndMode(dir, own) }},
		{"one file system", false, "keep the whole folder on one file system", func(context.Context) (Finding, error) { return oneDevice(dir) }},
	})
}

// Files checks what a file system does, in a folder that is the doctor's own and is
// removed by whoever made it.
func Files(ctx context.Context, scratch string) []Finding {
	return run(ctx, []check{
		{"locks", false, lies, func(context.Context) (Finding, error) { return locks(scratch) }},
		{"fsync", false, lies, func(context.Context) (Finding, error) { return syncs(scratch) }},
		{"file times", false, "set this machine's clock, or the file server's, by NTP", func(context.Context) (Finding, error) { return fileTimes(scratch, time.Now) }},
	})
}

// kind is what a file system is to a store.
type kind int

const (
	local kind = iota
	network
	memory
	layered
)

// volume is the file system that a folder is on.
type volume struct {
	name     string // "" when the system does not say
	kind     kind
	readOnly bool

	freeBytes   uint64
	totalInodes uint64 // 0 where there is no bound
	freeInodes  uint64
}

func fileSystem(dir string) (Finding, error) {
	v, err := volumeOf(dir)
	if err != nil {
		return Finding{}, fmt.Errorf("look at the file system: %w", err)
	}
	return v.verdict()
}

func (v *volume) verdict() (Finding, error) {
	switch {
	case v.readOnly:
		return Finding{}, fmt.Errorf("%s is mounted read-only: %w", v.name, blob.ErrNotStored)
	case v.kind == network:
		return warn("keep the store on a local disk: over a network, locks and fsync depend on the server and its mount options",
			"%s, a file system over a network", v.name), nil
	case v.kind == memory:
		return warn("use it for tests only", "%s, in memory: gone with the machine", v.name), nil
	case v.kind == layered:
		return warn("mount a volume there", "%s, the layer of a container: gone with it", v.name), nil
	case v.name == "":
		return skip("this system does not name it"), nil
	}
	return ok("%s", v.name), nil
}

func room(dir string) (Finding, error) {
	v, err := volumeOf(dir)
	if err != nil {
		return Finding{}, fmt.Errorf("look for room: %w", err)
	}
	return v.room()
}

func (v *volume) room() (Finding, error) {
	seen := fmt.Sprintf("%d MiB", v.freeBytes>>20)
	if v.totalInodes > 0 {
		seen += fmt.Sprintf(" and %d inodes", v.freeInodes)
	}
	inodes := v.freeInodes
	if v.totalInodes == 0 {
		inodes = fewInodes
	}
	switch {
	case v.freeBytes < leastBytes || inodes < leastInodes:
		return Finding{}, fmt.Errorf("only %s are free: %w", seen, blob.ErrNotStored)
	case v.freeBytes < fewBytes || inodes < fewInodes:
		return warn("make room before it is needed", "%s are free", seen), nil
	}
	return ok("%s are free", seen), nil
}

// elsewhere is the advice about a folder that is not the store's to change.
const elsewhere = "keep the store in a folder of its own, which only its user may write to"

// ownerAndMode looks at who else may take away what is stored. (Nobody else may read it:
// objects are made for their owner only.)
func ownerAndMode(dir string, own bool) (Finding, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return Finding{}, fmt.Errorf("look at the folder: %w", err)
	}
	mode := info.Mode().Perm()
	uid, known := ownerOf(info)
	foreign := known && uid != os.Geteuid()
	switch {
	case foreign && own:
		return warn("run every process of a store as the user who owns it", "the folder is user %d's, and this is user %d", uid, os.Geteuid()), nil
	case foreign:
		return warn(elsewhere, "the folder is user %d's, and this is user %d", uid, os.Geteuid()), nil
	case mode&0o022 == 0:
		return ok("mode %04o, this user's own", mode), nil
	case info.Mode()&fs.ModeSticky != 0:
		return ok("mode 1%03o, this user's own: others may only remove what is theirs", mode), nil
	case own:
		return warn("chmod 700 "+dir, "mode %04o: other users of this machine may remove what is stored", mode), nil
	}
	return warn(elsewhere, "mode %04o: other users of this machine may remove what is stored", mode), nil
}

// oneDevice wants the folders of a store on one file system: links do not leave it.
func oneDevice(dir string) (Finding, error) {
	root, err := os.Stat(dir)
	if err != nil {
		return Finding{}, fmt.Errorf("look at the folder: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return Finding{}, fmt.Errorf("look into the folder: %w", err)
	}
	own, known := deviceOf(root)
	if !known {
		return skip("this system does not say"), nil
	}
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
			continue
		}
		if err != nil {
			return Finding{}, fmt.Errorf("look at %s: %w", e.Name(), err)
		}
		if device, _ := deviceOf(info); device != own && e.Name() != "lost+found" {
			return Finding{}, fmt.Errorf("%s is on another file system: %w", e.Name(), blob.ErrNotStored)
		}
	}
	return ok("all of it"), nil
}

// locks wants a lock that one holds refused to another, and given once it is free.
func locks(scratch string) (Finding, error) {
	name := filepath.Join(scratch, "lock")
	open := func() (*os.File, error) { return os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600) }
	one, err := open()
	if err != nil {
		return Finding{}, fmt.Errorf("make a lock file: %w", err)
	}
	defer one.Close()
	other, err := open()
	if err != nil {
		return Finding{}, fmt.Errorf("open a lock file: %w", err)
	}
	defer other.Close()
	if held, err := tryLock(one); err != nil || !held {
		return Finding{}, errors.Join(broken("a lock that nobody holds is not given"), err)
	}
	if held, err := tryLock(other); err != nil || held {
		return Finding{}, errors.Join(broken("a lock was given twice"), err)
	}
	if err := one.Close(); err != nil {
		return Finding{}, fmt.Errorf("free a lock: %w", err)
	}
	if held, err := tryLock(other); err != nil || !held {
		return Finding{}, errors.Join(broken("a lock stays after it was freed"), err)
	}
	return ok("one holder at a time"), nil
}

// syncs puts a file and its folder on disk, and says how long that takes: a commit
// waits for it.
func syncs(scratch string) (Finding, error) {
	var took []time.Duration
	for i := range 9 {
		began := time.Now()
		if err := syncOnce(scratch, fmt.Sprintf("sync-%d", i)); err != nil {
			return Finding{}, err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	median, most := took[len(took)/2], took[len(took)-1]
	seen := fmt.Sprintf("a file and its folder in %s, at most %s", median.Round(time.Microsecond), most.Round(time.Microsecond))
	if median > 100*time.Millisecond {
		return warn("choose a faster disk: every commit waits so long", "%s", seen), nil
	}
	return ok("%s", seen), nil
}

func syncOnce(dir, name string) error {
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return fmt.Errorf("make a file: %w", err)
	}
	_, err = f.WriteString(strings.Repeat("x", 4096))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("put a file on disk: %w", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open the folder: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("put the folder on disk: %w", err)
	}
	return nil
}

// fileTimes compares the time that the file system gives a new file with this
// machine's clock: a file server has one of its own.
func fileTimes(scratch string, now func() time.Time) (Finding, error) {
	before := now()
	f, err := os.Create(filepath.Join(scratch, "time"))
	if err != nil {
		return Finding{}, fmt.Errorf("make a file: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteString("x"); err != nil {
		return Finding{}, fmt.Errorf("write a file: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return Finding{}, fmt.Errorf("look at a file: %w", err)
	}
	step := max(info.ModTime().Sub(now()), before.Sub(info.ModTime()), 0)
	if step > blob.MaxSkew {
		return Finding{}, fmt.Errorf("the file system's clock and this machine's are %s apart; no more than %s is safe", step.Round(time.Millisecond), blob.MaxSkew)
	}
	return ok("at most %s from this machine's clock", step.Round(time.Millisecond)), nil
}
