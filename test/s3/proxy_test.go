package s3_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/s3blob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/store"
	"github.com/bobbindb/bobbin/test/s3/server"
)

// A reader behind a proxy that loses its backend for a moment, as nginx does while it
// reloads, must not take the proxy's own 404 for the end of the log.
func TestStrongReadBehindAProxy(t *testing.T) {
	near := newBucket(t, "")
	target, err := url.Parse(gateway.URL)
	if err != nil {
		t.Fatal(err)
	}
	var lost atomic.Bool
	forward := httputil.NewSingleHostReverseProxy(target)
	director := forward.Director
	forward.Director = func(r *http.Request) { host := r.Host; director(r); r.Host = host }
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if lost.Load() && strings.Contains(r.URL.Path, "/log/") {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, "<html>\r\n<body>\r\n<center><h1>404 Not Found</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n")
			return
		}
		forward.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	name := fmt.Sprintf("bucket-%d", buckets.Load())
	far := s3blob.Open(server.Config(), s3blob.Options{Bucket: name, Endpoint: proxy.URL, PathStyle: true})

	s, err := catalog.New(1)
	if err != nil {
		t.Fatal(err)
	}
	opts := func(b blob.Bucket) partition.Options {
		return partition.Options{Bucket: b, Store: s, Branch: s.Branch, Use: store.Lazy, BlockCache: 1 << 20, Now: time.Now, Release: "test", Log: slog.New(slog.DiscardHandler)}
	}
	if err := partition.Create(t.Context(), opts(near)); err != nil {
		t.Fatal(err)
	}
	w, err := partition.Open(t.Context(), opts(near))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r, err := partition.Open(t.Context(), opts(far))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	base, err := w.Base()
	if err != nil {
		t.Fatal(err)
	}
	var nonce commitlog.Nonce
	rand.Read(nonce[:])
	acked, err := w.Append(t.Context(), base, nonce, []commitlog.Op{{Kind: commitlog.OpSet, Key: []byte("k"), Value: []byte("v")}})
	base.Close()
	if err != nil {
		t.Fatal(err)
	}
	lost.Store(true)
	v, err := r.Read(t.Context(), partition.Freshness{})
	if err == nil {
		if v.Position().Seq < acked {
			t.Errorf("a strong read shows commit %d, %d was acknowledged before it", v.Position().Seq, acked)
		}
		v.Close()
	}
}
