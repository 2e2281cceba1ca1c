package checkpoint

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

// ErrUnexpectedFile: the directory holds what no checkpoint of ours does: a file of an
// unknown kind, or a log with writes that were not flushed.
var ErrUnexpectedFile = errors.New("unexpected file in the checkpoint directory")

// maxLog is the longest write-ahead log that goes into a checkpoint object: an empty
// one, whatever Pebble puts in front.
const maxLog = 64 << 10

// defaultParallel is how many tables are uploaded at a time.
const defaultParallel = 4

// UploadOptions says what to upload, and where to.
type UploadOptions struct {
	FS     vfs.FS // that holds Dir; an *FS, or a local file system
	Dir    string // that DB.Checkpoint wrote
	Prefix string // of the partition: "branches/<branch>/p<000>"

	// Base is the checkpoint that this one extends. A table that it names is not
	// uploaded again: one that is remote in FS under the same key, and a local one of
	// the same name and content. Nil uploads every table.
	Base *Object

	Seq  commitlog.Seq  // of the last commit in the directory
	Hash commitlog.Hash // of that commit
	Time int64          // of that commit, in nanoseconds since 1970 UTC

	Parallel int           // tables uploaded at a time; 0 means 4
	Nonce    func() string // names uploads: 8 to 40 letters and digits, never the same twice; nil for random ones

	// Reader reads the tables as the database does: pebble.Options.MakeReaderOptions.
	// The zero value is right for a database with the default Comparer.
	Reader sstable.ReaderOptions
}

// Uploaded is what an upload did.
type Uploaded struct {
	Object *Object
	Key    string // of the checkpoint object

	Tables      int   // uploaded; those of the base not counted
	TableBytes  int64 // uploaded in tables
	ObjectBytes int64 // size of the checkpoint object
}

// Upload stores the checkpoint in a directory as one object for each new table and one
// checkpoint object. Until a manifest names the latter, nothing is changed for anyone.
// After an error some tables may have been stored, which nothing names.
func Upload(ctx context.Context, bucket blob.Bucket, opts UploadOptions) (*Uploaded, error) {
	u := &uploader{bucket: bucket, UploadOptions: opts}
	if u.Parallel <= 0 {
		u.Parallel = defaultParallel
	}
	if u.Nonce == nil {
		u.Nonce = newNonce
	}
	done, err := u.run(ctx)
	if err != nil {
		return nil, fmt.Errorf("upload checkpoint %s: %w", opts.Seq, err)
	}
	return done, nil
}

// uploader is one upload under way.
type uploader struct {
	UploadOptions
	bucket blob.Bucket

	mu   sync.Mutex
	done Uploaded
}

func (u *uploader) run(ctx context.Context) (*Uploaded, error) {
	object := &Object{Seq: u.Seq, Hash: u.Hash, Time: u.Time}
	if err := u.collect(object); err != nil {
		return nil, err
	}
	if err := u.putTables(ctx, object.Tables); err != nil {
		return nil, err
	}
	body, err := object.Encode()
	if err != nil {
		return nil, err
	}
	u.done.Object = object
	u.done.Key = ObjectKey(u.Prefix, u.Seq, u.Nonce())
	u.done.ObjectBytes = int64(len(body))
	if err := putNew(ctx, u.bucket, blob.Write{Key: u.done.Key, Body: body}); err != nil {
		return nil, fmt.Errorf("put %s: %w", u.done.Key, err)
	}
	return &u.done, nil
}

// collect reads the small files and lists the tables by name.
func (u *uploader) collect(object *Object) error {
	names, err := u.FS.List(u.Dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", u.Dir, err)
	}
	slices.Sort(names)
	for _, name := range names {
		switch kindOf(name) {
		case tableFile:
			object.Tables = append(object.Tables, Table{Name: name})
		case smallFile:
			body, err := u.readFile(name)
			if err != nil {
				return err
			}
			if len(body) > maxLog && strings.HasSuffix(name, ".log") {
				return fmt.Errorf("log %s of %d bytes: %w", name, len(body), ErrUnexpectedFile)
			}
			object.Files = append(object.Files, File{Name: name, Body: body})
		default:
			return fmt.Errorf("%s: %w", name, ErrUnexpectedFile)
		}
	}
	return nil
}

func (u *uploader) readFile(name string) ([]byte, error) {
	file, err := u.FS.Open(u.path(name))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	body := bytes.NewBuffer(make([]byte, 0, info.Size()+bytes.MinRead))
	if _, err := body.ReadFrom(file); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return body.Bytes(), nil
}

func (u *uploader) path(name string) string { return u.FS.PathJoin(u.Dir, name) }

// putTables sees to it that every table is in the bucket, a few at a time.
func (u *uploader) putTables(ctx context.Context, tables []Table) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan *Table)
	var workers sync.WaitGroup
	for range min(u.Parallel, len(tables)) {
		workers.Go(func() {
			for t := range next {
				if err := u.putTable(ctx, t); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range tables {
		if ctx.Err() != nil {
			break
		}
		next <- &tables[i]
	}
	close(next)
	workers.Wait()
	return context.Cause(ctx)
}

// putTable fills in what is known of the table, and uploads it unless the base names it.
func (u *uploader) putTable(ctx context.Context, t *Table) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	info, err := u.FS.Stat(u.path(t.Name))
	if err != nil {
		return fmt.Errorf("stat table %s: %w", t.Name, err)
	}
	t.Size = info.Size()
	t.local = identity{size: info.Size(), modified: info.ModTime()}
	if u.inBase(t) {
		return nil
	}
	if folder, ok := u.bucket.(blob.Folder); ok && u.onDisk(t) {
		return u.linkTable(ctx, folder, t)
	}
	return u.sendTable(ctx, t)
}

// inBase reports whether the base names this very table without a look at its
// content, and if so takes over what it says.
func (u *uploader) inBase(t *Table) bool {
	if u.Base == nil {
		return false
	}
	base := u.Base.table(t.Name)
	if base == nil || base.Size != t.Size {
		return false
	}
	if lazy, ok := u.FS.(*FS); ok {
		if remote := lazy.remote(u.path(t.Name)); remote != nil {
			same := remote.id() == base.id()
			if same {
				*t = *base
			}
			return same
		}
	}
	if base.local.size != t.local.size || !base.local.modified.Equal(t.local.modified) {
		return false
	}
	*t = *base
	return true
}

// inBaseByContent is inBase for a local table once its content is hashed: the base may
// come from an earlier process that uploaded the same file.
func (u *uploader) inBaseByContent(t *Table) bool {
	if u.Base == nil {
		return false
	}
	base := u.Base.table(t.Name)
	if base == nil || base.SHA256 != t.SHA256 || base.Size != t.Size {
		return false
	}
	local := t.local
	*t = *base
	t.local = local
	return true
}

// onDisk reports whether the table is a file that the operating system knows by the
// path we know it by.
func (u *uploader) onDisk(t *Table) bool {
	if lazy, ok := u.FS.(*FS); ok && lazy.remote(u.path(t.Name)) != nil {
		return false
	}
	return vfs.Root(u.FS) == vfs.Default
}

// sendTable uploads a table's bytes from memory.
func (u *uploader) sendTable(ctx context.Context, t *Table) error {
	body, err := u.readFile(t.Name)
	if err != nil {
		return err
	}
	t.SHA256, t.Size = sha256.Sum256(body), int64(len(body))
	if u.inBaseByContent(t) {
		return nil
	}
	if err := u.survey(ctx, t); err != nil {
		return err
	}
	t.Nonce = u.Nonce()
	if err := putNew(ctx, u.bucket, blob.Write{Key: t.Key(), Body: body}); err != nil {
		return fmt.Errorf("put table %s: %w", t.Name, err)
	}
	u.stored(t)
	return nil
}

// linkTable gives a table's file to a folder without copying it.
func (u *uploader) linkTable(ctx context.Context, folder blob.Folder, t *Table) error {
	if err := u.hash(t); err != nil {
		return err
	}
	if u.inBaseByContent(t) {
		return nil
	}
	if err := u.survey(ctx, t); err != nil {
		return err
	}
	t.Nonce = u.Nonce()
	if err := putNew(ctx, u.bucket, blob.Write{
		Key:  t.Key(),
		Ours: func(found []byte) bool { return sha256.Sum256(found) == t.SHA256 },
		Put:  func(ctx context.Context) (blob.Info, error) { return folder.PutFile(ctx, t.Key(), u.path(t.Name)) },
	}); err != nil {
		return fmt.Errorf("put table %s: %w", t.Name, err)
	}
	u.stored(t)
	return nil
}

func (u *uploader) hash(t *Table) error {
	file, err := u.FS.Open(u.path(t.Name), vfs.SequentialReadsOption)
	if err != nil {
		return fmt.Errorf("hash table %s: %w", t.Name, err)
	}
	defer file.Close()
	sum := sha256.New()
	if t.Size, err = io.Copy(sum, file); err != nil {
		return fmt.Errorf("hash table %s: %w", t.Name, err)
	}
	sum.Sum(t.SHA256[:0])
	return nil
}

// survey reads an sstable's layout. A blob file has none that we read.
func (u *uploader) survey(ctx context.Context, t *Table) error {
	if !t.isSSTable() {
		return nil
	}
	file, err := u.FS.Open(u.path(t.Name))
	if err != nil {
		return fmt.Errorf("survey table %s: %w", t.Name, err)
	}
	return t.survey(ctx, file, u.Reader)
}

// stored counts a table that was uploaded.
func (u *uploader) stored(t *Table) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.done.Tables++
	u.done.TableBytes += t.Size
}
