package engine_test

import (
	"bufio"
	"log/slog"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/replica"
	"github.com/bobbindb/bobbin/shared/store"
	"github.com/bobbindb/bobbin/shared/telemetry"
	"github.com/bobbindb/bobbin/test/engine"
)

// TestCacheIsCounted reads a store whose tables are fetched in chunks: a first process
// misses, and one that comes after it, with the same cache, hits.
func TestCacheIsCounted(t *testing.T) {
	bucket := memblob.New(time.Now)
	s, err := engine.Create(t.Context(), bucket, 1)
	if err != nil {
		t.Fatal(err)
	}
	threads, err := engine.Fill(t.Context(), bucket, s, 2000, 10)
	if err != nil {
		t.Fatal(err)
	}
	metrics := telemetry.New(telemetry.Release{}, nil)
	chunks := checkpoint.OpenCache(checkpoint.CacheOptions{Meter: metrics})
	read := func() {
		t.Helper()
		p, err := partition.Open(t.Context(), partition.Options{
			Bucket: telemetry.Bucket(bucket, metrics, nil), Store: s, Branch: s.Branch, Use: store.Lazy, BlockCache: 1 << 20,
			Chunks: chunks, Now: time.Now, Release: "test", Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		r := &replica.Replica{Store: s, Partitions: []*partition.Partition{p}, Hasher: chat.NewHasher(s.Salt)}
		for _, id := range threads {
			page, _, err := r.Messages(t.Context(), chat.Owner{User: "u1"}, chat.ThreadRef{ID: id}, chat.MessageQuery{Cursor: chat.Cursor{Limit: 50}}, chat.ReadOptions{})
			if err != nil || len(page.Messages) != 50 {
				t.Fatal(len(page.Messages), err)
			}
		}
	}
	read()
	hits, misses := counted(t, metrics, "bobbin_table_cache_hits_total"), counted(t, metrics, "bobbin_table_cache_misses_total")
	if misses == 0 {
		t.Error("a first process missed nothing")
	}
	if fetched := counted(t, metrics, `bobbin_bucket_calls_total{operation="get_range",outcome="ok"}`); fetched == 0 || fetched > misses {
		t.Errorf("%g ranges were fetched for %g misses, want some and not more", fetched, misses)
	}
	read()
	if more := counted(t, metrics, "bobbin_table_cache_hits_total") - hits; more == 0 {
		t.Error("the next process hit nothing")
	}
	if more := counted(t, metrics, "bobbin_table_cache_misses_total") - misses; more != 0 {
		t.Errorf("the next process missed %g chunks that the first one fetched", more)
	}
}

// counted is a metric as it is shown.
func counted(t *testing.T, m *telemetry.Metrics, name string) float64 {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for lines := bufio.NewScanner(w.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
