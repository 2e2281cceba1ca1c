package checkpoint_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/checkpoint"
)

// cachedFiles are the files below a cache directory, by path.
func cachedFiles(t *testing.T, dir string) (paths []string, size int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		paths, size = append(paths, path), size+info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths, size
}

// readAll reads a table through an FS of its own, as another process would, and
// returns how many ranges that fetched.
func readAll(t *testing.T, bucket *blobtest.Recorder, object *checkpoint.Object, cache *checkpoint.Cache, want []byte) int {
	t.Helper()
	bucket.Reset()
	fs := restoreRaw(t, checkpoint.FSOptions{Bucket: bucket, Cache: cache}, object)
	defer fs.Close()
	got := make([]byte, len(want))
	if _, err := open(t, fs, "db/1.sst").ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("ReadAt() = %v, or other bytes", err)
	}
	return bucket.Count(blobtest.GetRange)
}

func TestCacheOutlivesTheProcess(t *testing.T) {
	const c = checkpoint.ChunkSize
	dir := t.TempDir()
	bucket := blobtest.NewRecorder(memblob.New(time.Now))
	object, bodies := rawTables(t, bucket, 3*c+9)
	openCache := func() *checkpoint.Cache { return checkpoint.OpenCache(checkpoint.CacheOptions{Dir: dir}) }
	if n := readAll(t, bucket, object, openCache(), bodies[0]); n != 1 {
		t.Errorf("cold read made %d GETs, want 1", n)
	}
	if n := readAll(t, bucket, object, openCache(), bodies[0]); n != 0 {
		t.Errorf("read by another process made %d GETs, want 0", n)
	}
	paths, _ := cachedFiles(t, dir)
	if len(paths) != 4 {
		t.Errorf("cache holds %v, want one file for each of 4 chunks", paths)
	}
	for _, path := range paths {
		if want := strings.TrimPrefix(object.Tables[0].Key(), "tables/"); filepath.Base(filepath.Dir(path)) != want {
			t.Errorf("chunk is at %s, want it under %s", path, want)
		}
	}
}

func TestDamagedCacheFileIsAMiss(t *testing.T) {
	dir := t.TempDir()
	bucket := blobtest.NewRecorder(memblob.New(time.Now))
	object, bodies := rawTables(t, bucket, 2*checkpoint.ChunkSize)
	openCache := func() *checkpoint.Cache { return checkpoint.OpenCache(checkpoint.CacheOptions{Dir: dir}) }
	readAll(t, bucket, object, openCache(), bodies[0])
	for name, damage := range map[string]func(paths []string) error{
		"flipped bit": func(paths []string) error {
			b, err := os.ReadFile(paths[0])
			if err != nil {
				return err
			}
			b[len(b)/2] ^= 1
			return os.WriteFile(paths[0], b, 0o600)
		},
		"cut":          func(paths []string) error { return os.Truncate(paths[0], 100) },
		"empty":        func(paths []string) error { return os.Truncate(paths[0], 0) },
		"other format": func(paths []string) error { return overwrite(paths[0], 0, 9) },
		"in the wrong place": func(paths []string) error {
			b, err := os.ReadFile(paths[1])
			if err != nil {
				return err
			}
			return os.WriteFile(paths[0], b, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			paths, _ := cachedFiles(t, dir)
			if err := damage(paths); err != nil {
				t.Fatal(err)
			}
			if n := readAll(t, bucket, object, openCache(), bodies[0]); n != 1 {
				t.Errorf("read made %d GETs, want 1 for the damaged chunk", n)
			}
			if n := readAll(t, bucket, object, openCache(), bodies[0]); n != 0 {
				t.Errorf("next read made %d GETs, want 0", n)
			}
		})
	}
}

func overwrite(path string, at int64, b byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteAt([]byte{b}, at)
	return err
}

func TestCacheIsBounded(t *testing.T) {
	const c = checkpoint.ChunkSize
	dir := t.TempDir()
	bucket := blobtest.NewRecorder(memblob.New(time.Now))
	object, bodies := rawTables(t, bucket, 30*c)
	for range 3 { // Each process also clears away what earlier ones left.
		cache := checkpoint.OpenCache(checkpoint.CacheOptions{Dir: dir, MaxBytes: 8 * (c + 5), MemoryBytes: 4 * c})
		readAll(t, bucket, object, cache, bodies[0])
		if paths, size := cachedFiles(t, dir); size > 8*(c+5) || len(paths) < 4 {
			t.Errorf("cache holds %d bytes in %d files, want at most %d", size, len(paths), 8*(c+5))
		}
	}
}

// A cache that cannot be written serves from memory.
func TestCacheWithoutADisk(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	bucket := blobtest.NewRecorder(memblob.New(time.Now))
	object, bodies := rawTables(t, bucket, checkpoint.ChunkSize)
	for name, dir := range map[string]string{"under a file": file, "none": ""} {
		t.Run(name, func(t *testing.T) {
			cache := checkpoint.OpenCache(checkpoint.CacheOptions{Dir: dir})
			if n := readAll(t, bucket, object, cache, bodies[0]); n != 1 {
				t.Errorf("cold read made %d GETs, want 1", n)
			}
			if n := readAll(t, bucket, object, cache, bodies[0]); n != 0 {
				t.Errorf("second read made %d GETs, want 0", n)
			}
		})
	}
}
