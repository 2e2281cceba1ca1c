package checkpoint_test

import (
	"flag"
	"io"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/fileblob"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/checkpoint"
)

// far is a bucket at the distance of S3 seen from a function in its region.
func far(inner *blobtest.Recorder) *blobtest.Latency {
	return blobtest.NewLatency(inner, blobtest.LatencyOptions{Get: 20 * time.Millisecond, BytesPerSecond: 90 << 20})
}

func BenchmarkReadOneTable(b *testing.B) {
	const size = 64 << 20
	inner := blobtest.NewRecorder(memblob.New(time.Now))
	object, _ := rawTables(b, inner, size)
	b.SetBytes(size)
	for b.Loop() {
		fs := restoreRaw(b, checkpoint.FSOptions{Bucket: far(inner)}, object)
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, open(b, fs, "db/1.sst", vfs.SequentialReadsOption), make([]byte, 64<<10)); err != nil {
			b.Fatal(err)
		}
		fs.Close()
	}
}

func BenchmarkScanDatabase(b *testing.B) {
	inner := blobtest.NewRecorder(memblob.New(time.Now))
	up := prepare(b, inner, 60000, 1000)
	b.SetBytes(up.TableBytes)
	for b.Loop() {
		_, db := restore(b, checkpoint.FSOptions{Bucket: far(inner)}, up.Key)
		it, err := db.NewIter(nil)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for ok := it.First(); ok; ok = it.Next() {
			n++
		}
		if err := it.Close(); err != nil || n != 60000 {
			b.Fatalf("scan of %d records: %v", n, err)
		}
	}
}

func BenchmarkCompactDatabase(b *testing.B) {
	inner := blobtest.NewRecorder(memblob.New(time.Now))
	up := prepare(b, inner, 60000, 1000)
	b.SetBytes(up.TableBytes)
	for b.Loop() {
		_, db := restoreIn(b, checkpoint.FSOptions{Bucket: far(inner), Local: checkpoint.Disk()}, up.Key, b.TempDir()+"/replica")
		for i := 0; i < 60000; i += 100 {
			fill(b, db, i, i+1, 1000)
		}
		flush(b, db)
		if err := db.Compact(b.Context(), key(0), key(99999), false); err != nil {
			b.Fatal(err)
		}
	}
}

// settle waits until compactions have nothing to do, as a compactor does. Pebble has
// no event for that.
func settle(b *testing.B, db *pebble.DB) {
	for quiet := 0; quiet < 5 && b.Context().Err() == nil; quiet++ {
		time.Sleep(100 * time.Millisecond)
		if db.Metrics().Compact.NumInProgress > 0 {
			quiet = 0
		}
	}
}

var storeThreads = flag.Int("threads", 1000, "threads of the store that BenchmarkColdPage reads: 1000 make 100 MB")

// BenchmarkColdPage opens a store 25 ms per GET away and reads a page of a thread.
func BenchmarkColdPage(b *testing.B) {
	dir := b.TempDir()
	folder, err := fileblob.Open(dir+"/bucket", fileblob.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer folder.Close()
	inner := blobtest.NewRecorder(folder)
	up := chatStore(b, inner, vfs.Default, dir+"/", *storeThreads)
	b.Logf("%d tables of %d bytes, checkpoint object of %d bytes", up.Tables, up.TableBytes, up.ObjectBytes)
	bucket := blobtest.NewLatency(inner, blobtest.LatencyOptions{Get: 25 * time.Millisecond, BytesPerSecond: 80 << 20})
	for name, prefetch := range map[string]bool{"ahead": true, "on demand": false} {
		b.Run(name, func(b *testing.B) {
			var gets, late, size, pages float64
			for b.Loop() {
				pages++
				thread := int(pages) * 31 % *storeThreads
				fs, db := restore(b, checkpoint.FSOptions{Bucket: bucket}, up.Key)
				if prefetch {
					if err := fs.PrefetchRange(b.Context(), chatKey(thread, 0), chatEnd(thread), checkpoint.RangeOptions{Reverse: true, DataChunks: 1}); err != nil {
						b.Fatal(err)
					}
				}
				before := fs.Stats()
				readPage(b, db, thread)
				after := fs.Stats()
				gets, size = gets+float64(after.Gets), size+float64(after.Bytes)
				late += float64(after.Gets - before.Gets)
			}
			b.ReportMetric(gets/pages, "gets/page")
			b.ReportMetric(late/pages, "late-gets/page")
			b.ReportMetric(size/pages, "bytes/page")
		})
	}
}
