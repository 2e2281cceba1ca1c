package telemetry

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"

	dto "github.com/prometheus/client_model/go"
)

// emfMetric is a metric of CloudWatch and where it comes from.
type emfMetric struct {
	name, unit string
	family     string // of Metrics
	status     string // counts only requests whose status begins so; "" for all
	scale      float64
}

// emfMetrics are what alarms and dashboards are made of. Counters and histograms are
// sent as what was added, gauges as their largest over the partitions.
var emfMetrics = []emfMetric{
	{"Requests", "Count", "bobbin_http_requests_total", "", 1},
	{"ServerErrors", "Count", "bobbin_http_requests_total", "5", 1},
	{"Latency", "Milliseconds", "bobbin_http_request_seconds", "", 1000},
	{"Commits", "Count", "bobbin_commits_total", "", 1},
	{"Conflicts", "Count", "bobbin_commit_conflicts_total", "", 1},
	{"UnknownOutcomes", "Count", "bobbin_commit_unknown_outcomes_total", "", 1},
	{"BucketCalls", "Count", "bobbin_bucket_calls_total", "", 1},
	{"KeeperCalls", "Count", "bobbin_keeper_calls_total", "", 1},
	{"TailLength", "Count", "bobbin_log_tail_commits", "", 1},
	{"CheckpointAge", "Seconds", "bobbin_checkpoint_age_seconds", "", 1},
}

// emfNamespace is where CloudWatch keeps them.
const emfNamespace = "Bobbin"

// EMF writes metrics in CloudWatch's embedded metric format, a line of JSON in a log:
// docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html.
// In a function there is nobody to scrape, and whatever it did not write before it
// answered may never be written.
type EMF struct {
	metrics        *Metrics
	w              io.Writer
	store, release string

	mu   sync.Mutex
	sent map[string]float64 // of counters and of histograms' buckets, so far
}

// NewEMF writes to w under the dimensions Store and Release.
func NewEMF(m *Metrics, w io.Writer, store, release string) *EMF {
	return &EMF{metrics: m, w: w, store: store, release: release, sent: map[string]float64{}}
}

// Flush writes what happened since the last Flush, nothing where nothing did.
func (e *EMF) Flush() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.metrics.look()
	families, err := e.metrics.registry.Gather()
	if err != nil {
		return fmt.Errorf("gather metrics: %w", err)
	}
	known := make(map[string]*dto.MetricFamily, len(families))
	for _, f := range families {
		known[f.GetName()] = f
	}
	type definition struct{ Name, Unit string }
	var definitions []definition
	line := map[string]any{"Store": e.store, "Release": e.release}
	happened := false
	for _, m := range emfMetrics {
		value, event := e.value(m, known[m.family])
		if value == nil {
			continue
		}
		definitions = append(definitions, definition{m.name, m.unit})
		line[m.name], happened = value, happened || event
	}
	if !happened {
		return nil
	}
	line["_aws"] = map[string]any{
		"Timestamp": e.metrics.now().UnixMilli(),
		"CloudWatchMetrics": []any{map[string]any{
			"Namespace": emfNamespace, "Dimensions": [][]string{{"Store", "Release"}}, "Metrics": definitions,
		}},
	}
	return json.NewEncoder(e.w).Encode(line)
}

// value is what a metric says now, nil for nothing, and whether that is an event rather
// than a state.
func (e *EMF) value(m emfMetric, family *dto.MetricFamily) (value any, event bool) {
	switch family.GetType() {
	case dto.MetricType_COUNTER:
		total := 0.0
		for _, c := range family.GetMetric() {
			if strings.HasPrefix(label(c, "status"), m.status) {
				total += c.GetCounter().GetValue()
			}
		}
		added := e.added(m.name, total)
		if added == 0 {
			return nil, false
		}
		return added, true
	case dto.MetricType_HISTOGRAM:
		return e.distribution(m, family)
	case dto.MetricType_GAUGE:
		most := 0.0
		for _, g := range family.GetMetric() {
			most = max(most, g.GetGauge().GetValue()*m.scale)
		}
		if len(family.GetMetric()) == 0 {
			return nil, false
		}
		return most, false
	}
	return nil, false
}

// distribution is a histogram's new observations, each as its bucket's upper bound, the
// last bucket's as the bound before it.
func (e *EMF) distribution(m emfMetric, family *dto.MetricFamily) (any, bool) {
	var bounds []float64
	totals := map[float64]float64{}
	for _, h := range family.GetMetric() {
		below := uint64(0)
		buckets := h.GetHistogram().GetBucket()
		for i, b := range buckets {
			bound := b.GetUpperBound() * m.scale
			if _, ok := totals[bound]; !ok {
				bounds = append(bounds, bound)
			}
			totals[bound] += float64(b.GetCumulativeCount() - below)
			below = b.GetCumulativeCount()
			if i == len(buckets)-1 {
				totals[bound] += float64(h.GetHistogram().GetSampleCount() - below)
			}
		}
	}
	var d struct{ Values, Counts []float64 }
	for _, bound := range bounds {
		if n := e.added(fmt.Sprint(m.name, bound), totals[bound]); n > 0 {
			d.Values, d.Counts = append(d.Values, bound), append(d.Counts, n)
		}
	}
	if d.Values == nil {
		return nil, false
	}
	return d, true
}

// added is by how much a total grew since it was asked for last.
func (e *EMF) added(name string, total float64) float64 {
	grown := total - e.sent[name]
	e.sent[name] = total
	return grown
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}
