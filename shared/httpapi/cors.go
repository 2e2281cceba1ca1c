package httpapi

import "slices"

// cors is who may call from a page in a browser.
type cors struct {
	origins []string
	any     bool
}

func newCORS(origins []string) cors {
	return cors{origins: origins, any: slices.Contains(origins, "*")}
}

// The values are shared by every answer and never changed.
var (
	corsVary    = []string{"Origin"}
	corsMethods = []string{"GET,POST,PUT,DELETE,PATCH,OPTIONS"}
	corsAllowed = []string{"Authorization,Content-Type,X-API-Key,X-User-ID,X-User-Signature,X-Request-Id,Idempotency-Key," +
		"If-Match,If-None-Match,traceparent,Bobbin-Consistency,Bobbin-Min-Position"}
	corsExposed = []string{"ETag,Location,Bobbin-Position,X-Request-Id,Retry-After,Server-Timing"}
	corsMaxAge  = []string{"600"}
)

// mark tells the browser what an allowed origin may do. Every answer of a store with
// allowed origins depends on Origin, and says so.
func (c cors) mark(x *exchange) {
	if len(c.origins) == 0 {
		return
	}
	h := x.w.Header()
	h["Vary"] = corsVary
	origin := first(x.r.Header, "Origin")
	if origin == "" || !c.any && !slices.Contains(c.origins, origin) {
		return
	}
	h["Access-Control-Allow-Origin"] = []string{origin}
	h["Access-Control-Allow-Methods"] = corsMethods
	h["Access-Control-Allow-Headers"] = corsAllowed
	h["Access-Control-Expose-Headers"] = corsExposed
	h["Access-Control-Max-Age"] = corsMaxAge
}
