package app_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/bobbindb/bobbin/shared/app"
)

// scrape reads the metrics of Prometheus' text format by name and labels.
func (s served) scrape(t *testing.T) map[string]float64 {
	t.Helper()
	status, _, text := s.call(t, "GET", "/metrics", "", "X-API-Key", s.Keys.Admin)
	if status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	values := map[string]float64{}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		if at := strings.LastIndexByte(line, ' '); !strings.HasPrefix(line, "#") {
			value, err := strconv.ParseFloat(line[at+1:], 64)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			values[line[:at]] = value
		}
	}
	return values
}

// Everything that the contract names is there and is what happened.
func TestMetrics(t *testing.T) {
	s := serve(t, "--partitions", "2")
	for n := range 200 {
		status, _, text := s.call(t, "POST", "/frontend/v1/threads", `{"title":"one"}`, "X-API-Key", s.Keys.Backend, "X-User-ID", fmt.Sprint("u", n))
		if status != 201 {
			t.Fatal(status, text)
		}
	}
	var got map[string]float64
	checkpoints := func() bool {
		got = s.scrape(t)
		return got[`bobbin_checkpoint_seq{partition="0"}`] > 0 && got[`bobbin_checkpoint_seq{partition="1"}`] > 0
	}
	for range 10_000 { // each waits for an answer
		if checkpoints() {
			break
		}
	}
	got = s.scrape(t) // the one before may have seen a checkpoint half
	sum := func(format string) float64 { return got[fmt.Sprintf(format, 0)] + got[fmt.Sprintf(format, 1)] }
	for name, c := range map[string]struct{ got, least, most float64 }{
		"open replicas":  {got["bobbin_open_replicas"], 2, 2},
		"formats":        {sum(`bobbin_format{partition="%d"}`), 2, 2},
		"commits":        {sum(`bobbin_commits_total{partition="%d"}`), 400, 400}, // of each user a key and a thread
		"batches":        {sum(`bobbin_commit_batch_commands_count{partition="%d"}`), 400, 400},
		"commands":       {sum(`bobbin_commit_batch_commands_sum{partition="%d"}`), 400, 400},
		"checkpoint seq": {sum(`bobbin_checkpoint_seq{partition="%d"}`), 2, 400},
		"checkpoint age": {sum(`bobbin_checkpoint_age_seconds{partition="%d"}`), 1e-9, 600},
		"tail and seq":   {sum(`bobbin_log_tail_commits{partition="%d"}`) + sum(`bobbin_checkpoint_seq{partition="%d"}`), 400, 400},
		"keeper calls":   {got[`bobbin_keeper_calls_total{operation="unwrap",outcome="ok"}`], 1, 1},
		"reseals":        {got["bobbin_reseals_total"], 0, 0},
		"requests":       {got[`bobbin_http_requests_total{route="create-thread",status="201"}`], 200, 200},
		"latencies":      {got[`bobbin_http_request_seconds_count{route="create-thread",status="201"}`], 200, 200},
		"bucket calls":   {got[`bobbin_bucket_calls_total{operation="put",outcome="ok"}`], 200, 10_000},
		"bucket times":   {got[`bobbin_bucket_call_seconds_count{operation="put"}`], 200, 10_000},
	} {
		if c.got < c.least || c.got > c.most {
			t.Errorf("%s: %g, want %g to %g", name, c.got, c.least, c.most)
		}
	}
	for _, name := range []string{
		"bobbin_table_cache_hits_total", "bobbin_table_cache_misses_total",
		`bobbin_commit_conflicts_total{partition="0"}`, `bobbin_commit_unknown_outcomes_total{partition="1"}`,
	} {
		if value, ok := got[name]; !ok || value != 0 {
			t.Errorf("%s: %g, %t, want 0", name, value, ok)
		}
	}
	release := false
	for name := range got {
		release = release || strings.HasPrefix(name, "bobbin_release_info{") && strings.Contains(name, `version="`+app.Version+`"`) && strings.Contains(name, `go="go`)
	}
	if !release {
		t.Error("no release is named")
	}
}

// A long list is compressed for a client that says it takes that, and only for that.
func TestCompressedLists(t *testing.T) {
	s := serve(t)
	for n := range 100 {
		s.call(t, "POST", "/frontend/v1/threads", `{"title":"one"}`, "X-API-Key", s.Keys.Backend, "X-User-ID", fmt.Sprint("u", n%60))
	}
	for path, key := range map[string][2]string{
		"/admin/users":          {"X-API-Key", s.Keys.Admin},
		"/admin/keys?limit=200": {"X-API-Key", s.Keys.Admin},
	} {
		_, _, plain := s.call(t, "GET", path, "", key[0], key[1], "Accept-Encoding", "identity")
		status, header, packed := s.call(t, "GET", path, "", key[0], key[1], "Accept-Encoding", "gzip")
		if status != http.StatusOK || header.Get("Content-Encoding") != "gzip" || len(packed) >= len(plain) {
			t.Errorf("%s: %d, %q, %d bytes of %d", path, status, header.Get("Content-Encoding"), len(packed), len(plain))
			continue
		}
		z, err := gzip.NewReader(strings.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(z); err != nil || string(text) != plain {
			t.Errorf("%s: what was compressed is not the list: %v", path, err)
		}
	}
}
