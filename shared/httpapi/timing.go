package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/bobbindb/bobbin/shared/telemetry"
)

// counted is the request with a context that counts its bucket calls.
func (x *exchange) counted(r *http.Request) *http.Request {
	x.calls = new(telemetry.Calls)
	return r.WithContext(telemetry.WithCalls(r.Context(), x.calls))
}

// timing tells the client how long the answer took until it began, in milliseconds, and
// of that the calls to the bucket that were made for this request alone. A request that
// no route answered has neither.
func (x *exchange) timing() {
	if x.calls == nil {
		return
	}
	b := append(make([]byte, 0, 64), "total;dur="...)
	b = appendMillis(b, x.api.Now().Sub(x.began))
	if n := x.calls.Number(); n > 0 {
		b = append(b, ", bucket;dur="...)
		b = appendMillis(b, x.calls.Took())
		b = append(b, `;desc="calls: `...)
		b = append(strconv.AppendInt(b, n, 10), '"')
	}
	x.w.Header()["Server-Timing"] = []string{string(b)}
}

func appendMillis(b []byte, d time.Duration) []byte {
	return strconv.AppendFloat(b, float64(d)/float64(time.Millisecond), 'f', 3, 64)
}
