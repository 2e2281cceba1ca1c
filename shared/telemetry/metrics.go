package telemetry

import (
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Release says which code runs.
type Release struct {
	Version string
	Commit  string
	Go      string
}

// Metrics is everything that GET /metrics shows of one process.
type Metrics struct {
	registry *prometheus.Registry
	now      func() time.Time

	mu    sync.Mutex
	looks []func() // see OnScrape

	requests *prometheus.CounterVec
	latency  *prometheus.HistogramVec

	commits     *prometheus.CounterVec
	batch       *prometheus.HistogramVec
	conflicts   *prometheus.CounterVec
	unknowns    *prometheus.CounterVec
	tail        *prometheus.GaugeVec
	checkpoints *checkpointCollector

	cacheHits   prometheus.Counter
	cacheMisses prometheus.Counter

	bucketCalls   *prometheus.CounterVec
	bucketLatency *prometheus.HistogramVec
	keeperCalls   *prometheus.CounterVec
	reseals       prometheus.Counter
	replicas      prometheus.Gauge
	format        *prometheus.GaugeVec

	purged      *prometheus.CounterVec
	purgePasses *prometheus.CounterVec
	jobs        *prometheus.CounterVec
	jobsRunning *prometheus.GaugeVec
}

// seconds are the bounds of latency histograms: 100 µs to 10 s.
var seconds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// New returns the metrics of a process that runs this release. now serves the age of
// checkpoints; nil means time.Now.
func New(release Release, now func() time.Time) *Metrics {
	if now == nil {
		now = time.Now
	}
	m := &Metrics{
		registry:    prometheus.NewRegistry(),
		now:         now,
		requests:    counters("http_requests_total", "Requests answered.", "route", "status"),
		latency:     histograms("http_request_seconds", "Time from a request's headers to the end of its answer.", seconds, "route", "status"),
		commits:     counters("commits_total", "Commits that this process made.", "partition"),
		batch:       histograms("commit_batch_commands", "Commands decided in one commit.", prometheus.ExponentialBuckets(1, 2, 11), "partition"),
		conflicts:   counters("commit_conflicts_total", "Commits that lost the race for their number.", "partition"),
		unknowns:    counters("commit_unknown_outcomes_total", "Commits of which nobody could say whether they were stored.", "partition"),
		tail:        gauges("log_tail_commits", "Commits after the newest checkpoint.", "partition"),
		checkpoints: newCheckpointCollector(now),
		cacheHits:   counter("table_cache_hits_total", "Chunks of tables found in the local cache."),
		cacheMisses: counter("table_cache_misses_total", "Chunks of tables fetched from the bucket."),
		bucketCalls: counters("bucket_calls_total", "Calls to the bucket.", "operation", "outcome"),
		bucketLatency: histograms("bucket_call_seconds", "Time of a call to the bucket.",
			seconds, "operation"),
		keeperCalls: counters("keeper_calls_total", "Calls to the holder of the top key.", "operation", "outcome"),
		reseals:     counter("reseals_total", "Commands sealed again for a name that their writer allows."),
		replicas:    prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "bobbin", Name: "open_replicas", Help: "Partitions open in this process."}),
		format:      gauges("format", "Format that the partition's log is written in.", "partition"),
		purged:      counters("purged_total", "Threads and messages purged by this process.", "what"),
		purgePasses: counters("purge_passes_total", "Passes that looked for what is due to be purged.", "outcome"),
		jobs:        counters("jobs_total", "Jobs that this process worked on and does no more.", "kind", "outcome"),
		jobsRunning: gauges("jobs_running", "Jobs that this process works on.", "kind"),
	}
	info := gauges("release_info", "The release that runs; always 1.", "version", "commit", "go")
	info.WithLabelValues(release.Version, release.Commit, release.Go).Set(1)
	m.registry.MustRegister(
		m.requests, m.latency, m.commits, m.batch, m.conflicts, m.unknowns, m.tail, m.checkpoints,
		m.cacheHits, m.cacheMisses, m.bucketCalls, m.bucketLatency, m.keeperCalls, m.reseals, m.replicas, m.format, info,
		m.purged, m.purgePasses, m.jobs, m.jobsRunning,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// OnScrape has look called whenever somebody is about to see the metrics, to set what is a state
// rather than an event. It must be cheap, and may be called twice at once.
func (m *Metrics) OnScrape(look func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looks = append(m.looks, look)
}

// Handler answers with every metric in Prometheus' text format.
func (m *Metrics) Handler() http.Handler {
	answer := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.look()
		answer.ServeHTTP(w, r)
	})
}

// look has every state set that somebody is about to see.
func (m *Metrics) look() {
	m.mu.Lock()
	looks := m.looks
	m.mu.Unlock()
	for _, look := range looks {
		look()
	}
}

// CacheHit counts a chunk that the local cache had.
func (m *Metrics) CacheHit() { m.cacheHits.Inc() }

// CacheMiss counts a chunk that was fetched.
func (m *Metrics) CacheMiss() { m.cacheMisses.Inc() }

// KeeperCall counts a call to the holder of the top key.
func (m *Metrics) KeeperCall(operation string, err error) {
	m.keeperCalls.WithLabelValues(operation, wordFor(err)).Inc()
}

// Resealed counts a command whose texts were sealed for a name that its writer refused.
func (m *Metrics) Resealed() { m.reseals.Inc() }

// ReplicaOpened counts a partition that was opened.
func (m *Metrics) ReplicaOpened() { m.replicas.Inc() }

// ReplicaClosed counts a partition that was closed.
func (m *Metrics) ReplicaClosed() { m.replicas.Dec() }

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "bobbin", Name: name, Help: help})
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "bobbin", Name: name, Help: help}, labels)
}

func gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "bobbin", Name: name, Help: help}, labels)
}

func histograms(name, help string, bounds []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "bobbin", Name: name, Help: help, Buckets: bounds}, labels)
}
