package telemetry

// Purged counts what was purged.
func (m *Metrics) Purged(threads, messages int) {
	m.purged.WithLabelValues("thread").Add(float64(threads))
	m.purged.WithLabelValues("message").Add(float64(messages))
}

// PurgePassed counts a pass that looked for what is due.
func (m *Metrics) PurgePassed(err error) {
	m.purgePasses.WithLabelValues(wordFor(err)).Inc()
}

// JobStarted counts a job that this process works on. Kinds are those that it knows.
func (m *Metrics) JobStarted(kind string) { m.jobsRunning.WithLabelValues(kind).Inc() }

// JobStopped counts a job that this process does not work on any more.
func (m *Metrics) JobStopped(kind, outcome string) {
	m.jobsRunning.WithLabelValues(kind).Dec()
	m.jobs.WithLabelValues(kind, outcome).Inc()
}

func wordFor(err error) string {
	if err != nil {
		return "error"
	}
	return "ok"
}
