package blob

import (
	"context"
	"os"
	"time"
)

// Dates returns a bucket that tells saw the Date of every answer, also of one that an
// object is not there. It is a Folder if inner is one.
func Dates(inner Bucket, saw func(time.Time)) Bucket {
	d := dated{Bucket: inner, saw: saw}
	if f, ok := inner.(Folder); ok {
		return &datedFolder{dated: d, folder: f}
	}
	return &d
}

type dated struct {
	Bucket
	saw func(time.Time)
}

var _ Bucket = (*dated)(nil)

// Get implements Bucket.
func (d *dated) Get(ctx context.Context, key string) (Object, error) {
	object, err := d.Bucket.Get(ctx, key)
	d.saw(object.Date)
	return object, err
}

// GetRange implements Bucket.
func (d *dated) GetRange(ctx context.Context, key string, offset, size int64) (Object, error) {
	object, err := d.Bucket.GetRange(ctx, key, offset, size)
	d.saw(object.Date)
	return object, err
}

// Put implements Bucket.
func (d *dated) Put(ctx context.Context, key string, body []byte, when Condition) (Info, error) {
	info, err := d.Bucket.Put(ctx, key, body, when)
	d.saw(info.Date)
	return info, err
}

// List implements Bucket.
func (d *dated) List(ctx context.Context, opts ListOptions) (Listing, error) {
	page, err := d.Bucket.List(ctx, opts)
	d.saw(page.Date)
	return page, err
}

type datedFolder struct {
	dated
	folder Folder
}

var _ Folder = (*datedFolder)(nil)

// Unchanged implements Folder.
func (d *datedFolder) Unchanged(key string, tag ETag) bool { return d.folder.Unchanged(key, tag) }

// OpenFile implements Folder.
func (d *datedFolder) OpenFile(key string) (*os.File, error) { return d.folder.OpenFile(key) }

// PutFile implements Folder.
func (d *datedFolder) PutFile(ctx context.Context, key, path string) (Info, error) {
	info, err := d.folder.PutFile(ctx, key, path)
	d.saw(info.Date)
	return info, err
}

// LinkFile implements Folder.
func (d *datedFolder) LinkFile(key, path string) error { return d.folder.LinkFile(key, path) }

// Dir implements Folder.
func (d *datedFolder) Dir() string { return d.folder.Dir() }
