package telemetry_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/telemetry"
)

// emfLine is a line as CloudWatch reads it.
type emfLine struct {
	AWS struct {
		Timestamp         int64
		CloudWatchMetrics []struct {
			Namespace  string
			Dimensions [][]string
			Metrics    []struct{ Name, Unit string }
		}
	} `json:"_aws"`
	Store, Release string
	Requests       float64
	ServerErrors   float64
	Latency        struct{ Values, Counts []float64 }
	Conflicts      *float64
	TailLength     *float64
	CheckpointAge  *float64
}

func TestEMF(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	m := telemetry.New(telemetry.Release{}, func() time.Time { return now })
	var log bytes.Buffer
	emf := telemetry.NewEMF(m, &log, "abc", "1.2.3")
	flush := func() (line emfLine, written bool) {
		t.Helper()
		log.Reset()
		if err := emf.Flush(); err != nil {
			t.Fatal(err)
		}
		if log.Len() == 0 {
			return line, false
		}
		if n := bytes.Count(log.Bytes(), []byte("\n")); n != 1 {
			t.Errorf("Flush() wrote %d lines, want 1", n)
		}
		if err := json.Unmarshal(log.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		return line, true
	}

	m.Partition(0).Tail(7)
	if line, written := flush(); written {
		t.Errorf("Flush() before anything happened wrote %+v", line)
	}

	route := m.HTTPRoute("get-thread")
	for range 3 {
		route.Answered(200, 2*time.Millisecond)
	}
	route.Answered(503, time.Minute)
	m.Partition(1).Tail(9)
	m.Partition(1).Checkpoint(4, now.Add(-90*time.Second))
	line, _ := flush()
	if line.Store != "abc" || line.Release != "1.2.3" || line.AWS.Timestamp != now.UnixMilli() {
		t.Errorf("Flush() = %+v, want store abc, release 1.2.3 and the time", line)
	}
	if line.Requests != 4 || line.ServerErrors != 1 || line.Conflicts != nil {
		t.Errorf("Flush() = %v requests, %v errors, conflicts %v, want 4, 1 and none", line.Requests, line.ServerErrors, line.Conflicts)
	}
	if got := line.Latency; len(got.Values) != 2 || got.Values[0] != 2.5 || got.Counts[0] != 3 || got.Values[1] != 10_000 || got.Counts[1] != 1 {
		t.Errorf("Flush() has latencies %+v, want 3 of 2.5 ms and one of 10 s", got)
	}
	if *line.TailLength != 9 || *line.CheckpointAge != 90 {
		t.Errorf("Flush() has tail %v and checkpoint age %v, want the largest, 9, and 90 s", *line.TailLength, *line.CheckpointAge)
	}
	metrics := line.AWS.CloudWatchMetrics[0]
	if metrics.Namespace != "Bobbin" || len(metrics.Dimensions) != 1 || len(metrics.Dimensions[0]) != 2 {
		t.Errorf("Flush() is of namespace %s and dimensions %v, want Bobbin and {Store, Release}", metrics.Namespace, metrics.Dimensions)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(log.Bytes(), &raw); err != nil {
		t.Fatal(err)
	}
	for _, d := range metrics.Metrics {
		if raw[d.Name] == nil || d.Unit == "" {
			t.Errorf("metric %+v has no value or no unit", d)
		}
	}

	route.Answered(200, time.Millisecond)
	if line, _ = flush(); line.Requests != 1 || line.ServerErrors != 0 || len(line.Latency.Values) != 1 {
		t.Errorf("the next Flush() = %+v, want only the one request since", line)
	}
}
