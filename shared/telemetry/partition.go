package telemetry

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Partition counts what happens in one partition.
type Partition struct {
	label       string
	checkpoints *checkpointCollector

	commits   prometheus.Counter
	batch     prometheus.Observer
	conflicts prometheus.Counter
	unknowns  prometheus.Counter
	tail      prometheus.Gauge
	format    prometheus.Gauge
}

// Partition returns the meter of a partition.
func (m *Metrics) Partition(partition int) *Partition {
	label := strconv.Itoa(partition)
	return &Partition{
		label:       label,
		checkpoints: m.checkpoints,
		commits:     m.commits.WithLabelValues(label),
		batch:       m.batch.WithLabelValues(label),
		conflicts:   m.conflicts.WithLabelValues(label),
		unknowns:    m.unknowns.WithLabelValues(label),
		tail:        m.tail.WithLabelValues(label),
		format:      m.format.WithLabelValues(label),
	}
}

// Committed counts a commit that this process made, of so many commands.
func (p *Partition) Committed(commands int) {
	p.commits.Inc()
	p.batch.Observe(float64(commands))
}

// Conflict counts a commit that another process' commit came before.
func (p *Partition) Conflict() { p.conflicts.Inc() }

// UnknownOutcome counts a commit of which nobody can say whether it was stored.
func (p *Partition) UnknownOutcome() { p.unknowns.Inc() }

// Tail says how many commits the newest checkpoint lacks.
func (p *Partition) Tail(commits int) { p.tail.Set(float64(commits)) }

// Format says which format the partition's log is written in.
func (p *Partition) Format(format int) { p.format.Set(float64(format)) }

// Checkpoint says which checkpoint is the newest, and the time of its last commit.
func (p *Partition) Checkpoint(seq uint64, at time.Time) {
	p.checkpoints.set(p.label, checkpoint{seq: seq, at: at})
}

type checkpoint struct {
	seq uint64
	at  time.Time // of the commit
}

// checkpointCollector shows a checkpoint's age as it is when somebody looks.
type checkpointCollector struct {
	now func() time.Time
	seq *prometheus.Desc
	age *prometheus.Desc

	mu     sync.Mutex
	newest map[string]checkpoint // by partition
}

func newCheckpointCollector(now func() time.Time) *checkpointCollector {
	labels := []string{"partition"}
	return &checkpointCollector{
		now:    now,
		seq:    prometheus.NewDesc("bobbin_checkpoint_seq", "Number of the last commit that the newest checkpoint holds.", labels, nil),
		age:    prometheus.NewDesc("bobbin_checkpoint_age_seconds", "Time since the last commit that the newest checkpoint holds.", labels, nil),
		newest: make(map[string]checkpoint),
	}
}

func (c *checkpointCollector) set(partition string, cp checkpoint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.newest[partition] = cp
}

// Describe names the two metrics.
func (c *checkpointCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.seq
	ch <- c.age
}

// Collect gives both for every partition that has a checkpoint.
func (c *checkpointCollector) Collect(ch chan<- prometheus.Metric) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for partition, cp := range c.newest {
		ch <- prometheus.MustNewConstMetric(c.seq, prometheus.GaugeValue, float64(cp.seq), partition)
		ch <- prometheus.MustNewConstMetric(c.age, prometheus.GaugeValue, now.Sub(cp.at).Seconds(), partition)
	}
}
