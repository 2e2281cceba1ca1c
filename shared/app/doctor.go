package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/fileblob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/doctor"
)

// scratchPattern names the folders of doctors that are at work. A name that begins with
// a dot is no object of the bucket.
const scratchPattern = ".doctor-"

// scratchStale is the age of a scratch folder whose doctor was killed.
const scratchStale = time.Hour

// Doctor checks that a bucket can hold a store, or goes on to. It touches nothing of the
// store: what it writes goes to a folder, or under a prefix, of its own, which it removes.
func Doctor(ctx context.Context, cfg Config) (doctor.Report, error) {
	dir := cfg.folder()
	if dir == "" {
		checks, err := tryBucket(ctx, cfg, false)
		return doctor.NewReport(cfg.Bucket, checks), errors.Join(err, ctx.Err())
	}
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = errors.New("not a folder")
	}
	if err != nil {
		return doctor.Report{}, fmt.Errorf("look at the folder: %w", err)
	}
	own, err := isOwn(dir)
	if err != nil {
		return doctor.Report{}, err
	}
	tried, err := tryFolder(ctx, dir, false)
	checks := append(doctor.Volume(ctx, dir, own), tried...)
	if err != nil {
		checks = append(checks, doctor.Finding{
			Check: "scratch folder", Verdict: doctor.Failed, Seen: err.Error(), Err: err,
			Advice: "run it as the user who owns the folder, on a file system that can be written",
		})
	}
	return doctor.NewReport(cfg.Bucket, checks), ctx.Err()
}

// isOwn reports whether a folder holds a store, or nothing: then it is the store's own.
func isOwn(dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, fmt.Errorf("look into the folder: %w", err)
	}
	return len(entries) == 0 || slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == catalog.StoreKey }), nil
}

// checkPromises refuses a bucket that would lose commits. It is cheap, and asked once,
// before a store is made there.
func checkPromises(ctx context.Context, cfg Config) (err error) {
	var checks []doctor.Finding
	if dir := cfg.folder(); dir != "" {
		checks, err = tryFolder(ctx, dir, true)
	} else {
		checks, err = tryBucket(ctx, cfg, true)
	}
	if err := errors.Join(err, doctor.Err(checks)); err != nil {
		return fmt.Errorf("try the bucket: %w", err)
	}
	return nil
}

// tryBucket tries a bucket that is no folder, under a prefix of its own.
func tryBucket(ctx context.Context, cfg Config, brief bool) (checks []doctor.Finding, err error) {
	var handles []blob.Bucket
	for range 2 {
		b, closer, failed := openBucket(ctx, cfg)
		if failed != nil {
			return nil, failed
		}
		defer func() { err = errors.Join(err, closer()) }()
		handles = append(handles, b)
	}
	return doctor.Bucket(ctx, doctor.Options{Handles: handles, Prefix: "doctor/" + newNonce(), Brief: brief}), nil
}

// tryFolder tries a file system as a bucket, in a folder of its own within dir.
func tryFolder(ctx context.Context, dir string, brief bool) (checks []doctor.Finding, err error) {
	scratch, err := newScratch(dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if gone := os.RemoveAll(scratch); gone != nil {
			err = errors.Join(err, fmt.Errorf("remove scratch folder: %w", gone))
		}
	}()
	if !brief {
		checks = doctor.Files(ctx, scratch)
	}
	var handles []blob.Bucket
	for range 2 {
		b, failed := fileblob.Open(filepath.Join(scratch, "bucket"), fileblob.Options{})
		if failed != nil {
			return checks, failed
		}
		defer func() { err = errors.Join(err, b.Close()) }()
		handles = append(handles, b)
	}
	opts := doctor.Options{Handles: handles, Prefix: "doctor", Files: scratch, Brief: brief}
	return append(checks, doctor.Bucket(ctx, opts)...), nil
}

// newScratch makes a scratch folder, and removes those of doctors that were killed.
func newScratch(dir string) (string, error) {
	left, err := filepath.Glob(filepath.Join(dir, scratchPattern+"*"))
	if err != nil {
		return "", fmt.Errorf("look for scratch folders: %w", err)
	}
	for _, path := range left {
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > scratchStale {
			if err := os.RemoveAll(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return "", fmt.Errorf("remove scratch folder: %w", err)
			}
		}
	}
	scratch, err := os.MkdirTemp(dir, scratchPattern+"*")
	if err != nil {
		return "", fmt.Errorf("make scratch folder: %w", err)
	}
	return scratch, nil
}
