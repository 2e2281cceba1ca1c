package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/telemetry"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func show(m *telemetry.Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func expect(t *testing.T, m *telemetry.Metrics, lines ...string) {
	t.Helper()
	got := show(m)
	for _, line := range lines {
		if !strings.Contains(got, "\n"+line+"\n") {
			t.Errorf("metrics lack %q in\n%s", line, got)
		}
	}
}

func TestMetrics(t *testing.T) {
	m := telemetry.New(telemetry.Release{Version: "1.2.3", Commit: "abc", Go: "go1"}, func() time.Time { return noon })
	route := m.HTTPRoute("get-thread")
	route.Answered(200, 3*time.Millisecond)
	route.Answered(200, 7*time.Millisecond)
	route.Answered(404, time.Millisecond)
	route.Answered(9999, time.Millisecond)
	p := m.Partition(3)
	p.Committed(1)
	p.Committed(100)
	p.Conflict()
	p.UnknownOutcome()
	p.Tail(17)
	p.Format(2)
	p.Checkpoint(64, noon.Add(-time.Minute))
	m.CacheHit()
	m.CacheMiss()
	m.KeeperCall("unwrap", nil)
	m.KeeperCall("unwrap", errors.New("no"))
	m.ReplicaOpened()
	m.ReplicaOpened()
	m.ReplicaClosed()
	m.Purged(2, 30)
	m.PurgePassed(nil)
	m.PurgePassed(errors.New("no"))
	m.JobStarted("purge")
	m.JobStarted("purge")
	m.JobStopped("purge", "done")
	expect(t, m,
		`bobbin_release_info{commit="abc",go="go1",version="1.2.3"} 1`,
		`bobbin_http_requests_total{route="get-thread",status="200"} 2`,
		`bobbin_http_requests_total{route="get-thread",status="404"} 1`,
		`bobbin_http_requests_total{route="get-thread",status="0"} 1`,
		`bobbin_http_request_seconds_bucket{route="get-thread",status="200",le="0.005"} 1`,
		`bobbin_commits_total{partition="3"} 2`,
		`bobbin_commit_batch_commands_sum{partition="3"} 101`,
		`bobbin_commit_conflicts_total{partition="3"} 1`,
		`bobbin_commit_unknown_outcomes_total{partition="3"} 1`,
		`bobbin_log_tail_commits{partition="3"} 17`,
		`bobbin_format{partition="3"} 2`,
		`bobbin_checkpoint_seq{partition="3"} 64`,
		`bobbin_checkpoint_age_seconds{partition="3"} 60`,
		`bobbin_table_cache_hits_total 1`,
		`bobbin_table_cache_misses_total 1`,
		`bobbin_keeper_calls_total{operation="unwrap",outcome="ok"} 1`,
		`bobbin_keeper_calls_total{operation="unwrap",outcome="error"} 1`,
		`bobbin_open_replicas 1`,
		`bobbin_purged_total{what="thread"} 2`,
		`bobbin_purged_total{what="message"} 30`,
		`bobbin_purge_passes_total{outcome="ok"} 1`,
		`bobbin_purge_passes_total{outcome="error"} 1`,
		`bobbin_jobs_running{kind="purge"} 1`,
		`bobbin_jobs_total{kind="purge",outcome="done"} 1`,
	)
}

// bucket answers every call with one error.
type bucket struct{ err error }

func (b bucket) Get(context.Context, string) (blob.Object, error) { return blob.Object{}, b.err }
func (b bucket) GetRange(context.Context, string, int64, int64) (blob.Object, error) {
	return blob.Object{}, b.err
}
func (b bucket) Put(context.Context, string, []byte, blob.Condition) (blob.Info, error) {
	return blob.Info{}, b.err
}
func (b bucket) List(context.Context, blob.ListOptions) (blob.Listing, error) {
	return blob.Listing{}, b.err
}
func (b bucket) Delete(context.Context, string) error { return b.err }

type folder struct{ bucket }

func (folder) Unchanged(string, blob.ETag) bool    { return true }
func (f folder) OpenFile(string) (*os.File, error) { return nil, f.err }
func (f folder) LinkFile(string, string) error     { return f.err }
func (folder) Dir() string                         { return "/store" }
func (f folder) PutFile(context.Context, string, string) (blob.Info, error) {
	return blob.Info{}, f.err
}

func TestBucketOutcomes(t *testing.T) {
	for err, outcome := range map[error]string{
		nil:                      "ok",
		blob.ErrNotExist:         "not_exist",
		blob.ErrExists:           "exists",
		blob.ErrDenied:           "denied",
		blob.ErrNotStored:        "not_stored",
		blob.ErrUnavailable:      "unavailable",
		context.Canceled:         "cancelled",
		context.DeadlineExceeded: "cancelled",
		errors.New("odd"):        "error",
	} {
		m := telemetry.New(telemetry.Release{}, nil)
		inner := bucket{}
		if err != nil {
			inner.err = fmt.Errorf("do it: %w", err)
		}
		b := telemetry.Bucket(inner, m, nil)
		if _, ok := b.(blob.Folder); ok {
			t.Error("a bucket became a folder")
		}
		_, got := b.Get(t.Context(), "k")
		if !errors.Is(got, err) {
			t.Errorf("Get() = %v, want %v", got, err)
		}
		b.GetRange(t.Context(), "k", 0, 1)
		b.Put(t.Context(), "k", nil, blob.IfAbsent())
		b.List(t.Context(), blob.ListOptions{})
		b.Delete(t.Context(), "k")
		for _, op := range []string{"get", "get_range", "put", "list", "delete"} {
			expect(t, m, fmt.Sprintf(`bobbin_bucket_calls_total{operation=%q,outcome=%q} 1`, op, outcome),
				fmt.Sprintf(`bobbin_bucket_call_seconds_count{operation=%q} 1`, op))
		}
	}
}

func TestFolderStaysFolder(t *testing.T) {
	m := telemetry.New(telemetry.Release{}, nil)
	f, ok := telemetry.Bucket(folder{bucket{blob.ErrNotExist}}, m, nil).(blob.Folder)
	if !ok {
		t.Fatal("a folder is no folder any more")
	}
	if !f.Unchanged("k", "t") || f.Dir() != "/store" {
		t.Error("Unchanged or Dir is not the folder's own")
	}
	if _, err := f.OpenFile("k"); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("OpenFile() = %v", err)
	}
	f.PutFile(t.Context(), "k", "p")
	f.LinkFile("k", "p")
	f.Get(t.Context(), "k")
	expect(t, m,
		`bobbin_bucket_calls_total{operation="look",outcome="ok"} 1`,
		`bobbin_bucket_calls_total{operation="open",outcome="not_exist"} 1`,
		`bobbin_bucket_calls_total{operation="put",outcome="not_exist"} 1`,
		`bobbin_bucket_calls_total{operation="link",outcome="not_exist"} 1`,
		`bobbin_bucket_calls_total{operation="get",outcome="not_exist"} 1`,
	)
}

func TestLogger(t *testing.T) {
	var b bytes.Buffer
	log := telemetry.NewLogger(&b, telemetry.LogJSON, slog.LevelInfo)
	log.Debug("unseen")
	log.LogAttrs(t.Context(), slog.LevelInfo, "seen", telemetry.RequestID("r1"))
	if got := b.String(); !strings.Contains(got, `"msg":"seen","request_id":"r1"}`) || strings.Contains(got, "unseen") {
		t.Errorf("log is %s", got)
	}
	b.Reset()
	telemetry.NewLogger(&b, telemetry.LogText, slog.LevelInfo).Info("seen", telemetry.RequestID("r1"))
	if got := b.String(); !strings.Contains(got, "msg=seen request_id=r1") {
		t.Errorf("log is %s", got)
	}
}

func BenchmarkAnswered(b *testing.B) {
	route := telemetry.New(telemetry.Release{}, nil).HTTPRoute("get-thread")
	b.ReportAllocs()
	for b.Loop() {
		route.Answered(200, 3*time.Millisecond)
	}
}
