package httpapi

import "net/http"

// checkHealth says that the process answers.
func (a *API) checkHealth(x *exchange) error {
	x.out = append(x.out[:0], `{"status":"ok"}`...)
	x.answer(http.StatusOK)
	return nil
}

// checkReady says whether the store can serve.
func (a *API) checkReady(x *exchange) error {
	if a.Ready != nil {
		if err := a.Ready(x.r.Context()); err != nil {
			return errNotReady.Because(err)
		}
	}
	x.answerVersion()
	return nil
}

// checkStore says the same to an operator, by the check of the operator's own.
func (a *API) checkStore(x *exchange) error {
	if a.Admin.Health != nil {
		if err := a.Admin.Health(x.r.Context()); err != nil {
			return errNotReady.Because(err)
		}
	}
	x.answerVersion()
	return nil
}

func (x *exchange) answerVersion() {
	x.out = append(x.out[:0], `{"status":"ok"`...)
	x.out = append(appendText(x.out, "version", x.api.Version), '}')
	x.answer(http.StatusOK)
}

// showMetrics shows the metrics to an admin.
func (a *API) showMetrics(x *exchange) error {
	a.Metrics.Handler().ServeHTTP(x, x.r)
	return nil
}

// MetricsHandler answers GET /metrics without a key, for a listener of its own.
func (a *API) MetricsHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", a.Metrics.Handler())
	return mux
}
