package httpapi

import "net/http"

// Route is one method on one path.
type Route struct {
	Name   string // verb-noun, the same everywhere a route is named
	Method string
	Path   string // in the words of http.ServeMux
	Group  string // what serves it beside others; "" when it has a function of its own

	handle func(*API, *exchange) error
}

// Routes is every route there is.
var Routes = []Route{
	{"create-thread", http.MethodPost, "/frontend/v1/threads", "", (*API).createThread},
	{"list-threads", http.MethodGet, "/frontend/v1/threads", "", (*API).listThreads},
	{"get-thread", http.MethodGet, "/frontend/v1/threads/{thread}", "", (*API).getThread},
	{"update-thread", http.MethodPut, "/frontend/v1/threads/{thread}", "", (*API).updateThread},
	{"patch-thread", http.MethodPatch, "/frontend/v1/threads/{thread}", "", (*API).patchThread},
	{"delete-thread", http.MethodDelete, "/frontend/v1/threads/{thread}", "", (*API).deleteThread},
	{"undelete-thread", http.MethodPost, "/frontend/v1/threads/{thread}/undelete", "", (*API).undeleteThread},
	{"post-message", http.MethodPost, "/frontend/v1/threads/{thread}/messages", "", (*API).postMessage},
	{"post-messages", http.MethodPost, "/frontend/v1/threads/{thread}/messages/batch", "", (*API).postMessages},
	{"list-messages", http.MethodGet, "/frontend/v1/threads/{thread}/messages", "", (*API).listMessages},
	{"get-message", http.MethodGet, "/frontend/v1/threads/{thread}/messages/{message}", "", (*API).getMessage},
	{"update-message", http.MethodPut, "/frontend/v1/threads/{thread}/messages/{message}", "", (*API).updateMessage},
	{"delete-message", http.MethodDelete, "/frontend/v1/threads/{thread}/messages/{message}", "", (*API).deleteMessage},
	{"list-revisions", http.MethodGet, "/frontend/v1/threads/{thread}/messages/{message}/revisions", "", (*API).listRevisions},
	{"undelete-message", http.MethodPost, "/frontend/v1/threads/{thread}/messages/{message}/undelete", "", (*API).undeleteMessage},
	{"sign-user", http.MethodPost, "/backend/v1/sign", "", (*API).signUser},

	{"check-health", http.MethodGet, "/healthz", "default", (*API).checkHealth},
	{"check-ready", http.MethodGet, "/readyz", "default", (*API).checkReady},
	{"show-openapi", http.MethodGet, "/openapi.yaml", "default", (*API).showOpenAPI},
	{"show-metrics", http.MethodGet, "/metrics", "default", (*API).showMetrics},
	{"check-store", http.MethodGet, "/admin/health", "admin", (*API).checkStore},
	{"import-threads", http.MethodPost, "/admin/import", "admin", (*API).importThreads},
	{"show-status", http.MethodGet, "/admin/status", "admin", (*API).showStatus},
	{"show-stats", http.MethodGet, "/admin/stats", "admin", (*API).showStats},
	{"list-users", http.MethodGet, "/admin/users", "admin", (*API).listUsers},
	{"list-user-threads", http.MethodGet, "/admin/users/{user}/threads", "admin", asUser((*API).listThreads)},
	{"get-user-thread", http.MethodGet, "/admin/users/{user}/threads/{thread}", "admin", asUser((*API).getThread)},
	{"list-user-messages", http.MethodGet, "/admin/users/{user}/threads/{thread}/messages", "admin", asUser((*API).listMessages)},
	{"get-user-message", http.MethodGet, "/admin/users/{user}/threads/{thread}/messages/{message}", "admin", asUser((*API).getMessage)},
	{"list-keys", http.MethodGet, "/admin/keys", "admin", (*API).listKeys},
	{"show-key", http.MethodGet, "/admin/keys/{key}", "admin", (*API).showKey},
	{"list-jobs", http.MethodGet, "/admin/jobs", "admin", (*API).listJobs},
	{"show-job", http.MethodGet, "/admin/jobs/{job}", "admin", (*API).showJob},
	{"start-job", http.MethodPost, "/admin/jobs/{job}", "admin", (*API).startJob},
	{"encrypt-threads", http.MethodPost, "/admin/encryption/encrypt-threads", "admin", (*API).encryptThreads},
}

// newMux routes what Routes names. Whatever else arrives, another method on a known
// path included, is not found.
func (a *API) newMux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, route := range Routes {
		meter := a.Metrics.HTTPRoute(route.Name)
		mux.HandleFunc(route.Method+" "+route.Path, func(w http.ResponseWriter, r *http.Request) {
			x := w.(*exchange)
			x.r, x.meter, x.route = x.counted(r), meter, route.Name
			x.span.Route(route.Name, route.Method, route.Path)
			if err := route.handle(a, x); err != nil {
				x.fail(err)
			}
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { w.(*exchange).fail(errNotFound) })
	if a.Admin.Other != nil {
		meter := a.Metrics.HTTPRoute("admin")
		mux.HandleFunc("/admin/", func(w http.ResponseWriter, r *http.Request) {
			x := w.(*exchange)
			x.r, x.meter, x.route = r, meter, "admin"
			a.Admin.Other.ServeHTTP(x, r)
		})
	}
	return mux
}
