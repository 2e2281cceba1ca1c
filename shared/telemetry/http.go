package telemetry

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// HTTPRoute counts and times the answers of one route.
type HTTPRoute struct {
	metrics  *Metrics
	route    string
	statuses [600]atomic.Pointer[httpStatus]
}

type httpStatus struct {
	requests prometheus.Counter
	latency  prometheus.Observer
}

// HTTPRoute returns the meter of a route.
func (m *Metrics) HTTPRoute(name string) *HTTPRoute {
	return &HTTPRoute{metrics: m, route: name}
}

// Answered counts one answer with its status and the time that it took.
func (r *HTTPRoute) Answered(status int, took time.Duration) {
	if status < 0 || status >= len(r.statuses) {
		status = 0
	}
	s := r.statuses[status].Load()
	if s == nil {
		s = r.resolve(status)
	}
	s.requests.Inc()
	s.latency.Observe(took.Seconds())
}

// resolve finds a status' meters. Two who do so at once find the same ones.
func (r *HTTPRoute) resolve(status int) *httpStatus {
	label := strconv.Itoa(status)
	s := &httpStatus{
		requests: r.metrics.requests.WithLabelValues(r.route, label),
		latency:  r.metrics.latency.WithLabelValues(r.route, label),
	}
	r.statuses[status].Store(s)
	return s
}
