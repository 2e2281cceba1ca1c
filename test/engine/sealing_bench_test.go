//go:build unix

package engine_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob/fileblob"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/httpapi"
	"github.com/bobbindb/bobbin/shared/seal/sealtest"
	"github.com/bobbindb/bobbin/test/engine"
	"github.com/bobbindb/bobbin/test/httpscript/contract"
)

// BenchmarkSealing compares a store that seals with one whose Sealer only copies, turn
// about in one run, over HTTP on loopback and on folders of one disk. A ratio of
// 0.8 means that the one that seals answers 0.8 requests where the other answers one; by
// the processor's time it is the same on a machine that others use.
func BenchmarkSealing(b *testing.B) {
	stores := [2]*sealingStore{newSealingStore(b, nil), newSealingStore(b, sealtest.Copier{})}
	for _, load := range []struct {
		name string
		size int // requests a turn
		call func(s *sealingStore, n int)
	}{
		{"post 1 KB", 2000, (*sealingStore).post},
		{"list 50", 400, (*sealingStore).list},
	} {
		b.Run(load.name, func(b *testing.B) {
			var took, worked [2]time.Duration
			var lists []time.Duration
			for n := range b.N {
				for turn := range stores { // who comes first does better
					i := (n + turn) % len(stores)
					s := stores[i]
					began, before := time.Now(), processorTime(b)
					each := s.turn(load.size, load.call)
					took[i] += time.Since(began)
					worked[i] += processorTime(b) - before
					if i == 0 {
						lists = append(lists, each...)
					}
				}
			}
			slices.Sort(lists)
			b.ReportMetric(float64(took[1])/float64(took[0]), "sealed/copied")
			b.ReportMetric(float64(worked[1])/float64(worked[0]), "sealed/copied-cpu")
			b.ReportMetric(float64(b.N*load.size)/took[0].Seconds(), "sealed/s")
			b.ReportMetric(float64(lists[len(lists)/2].Microseconds())/1000, "sealed-p50-ms")
		})
	}
}

// processorTime is how long this process has kept processors busy.
func processorTime(b *testing.B) time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// sealingStore is a store in a folder, with 100 threads of 50 messages.
type sealingStore struct {
	b       *testing.B
	url     string
	client  *http.Client
	threads []string
	body    []byte
}

const sealingClients = 32

func newSealingStore(b *testing.B, sealer chat.Sealer) *sealingStore {
	b.Helper()
	ctx := context.Background()
	bucket, err := fileblob.Open(b.TempDir(), fileblob.Options{})
	if err != nil {
		b.Fatal(err)
	}
	catalog, err := engine.Create(ctx, bucket, 1)
	if err != nil {
		b.Fatal(err)
	}
	e, err := engine.Open(ctx, bucket, catalog)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Close(); err != nil {
			b.Error(err)
		}
		bucket.Close()
	})
	if sealer != nil {
		e.Service.Sealer = sealer
	}
	o := contract.Options(e.Service)
	o.Now, o.NewRequestID = nil, nil
	o.AllowedAddrs = nil
	server := httptest.NewServer(httpapi.New(o))
	b.Cleanup(server.Close)
	transport := &http.Transport{MaxIdleConnsPerHost: sealingClients, DisableCompression: true}
	b.Cleanup(transport.CloseIdleConnections)
	s := &sealingStore{b: b, url: server.URL, client: &http.Client{Transport: transport}}
	raw := make([]byte, 760)
	random := mathrand.NewChaCha8([32]byte{1})
	for n := range 100 {
		random.Read(raw)
		s.body = []byte(`{"body":"` + base64.StdEncoding.EncodeToString(raw) + `"}`)
		r, err := e.Service.CreateThread(ctx, chat.Call{Caller: chat.Owner{User: fmt.Sprint("u", n)}}, chat.NewThread{Title: "bench"})
		if err != nil {
			b.Fatal(err)
		}
		s.threads = append(s.threads, r.Thread.String())
	}
	s.turn(100*50, (*sealingStore).post)
	return s
}

// turn makes requests from all clients, and says how long each took.
func (s *sealingStore) turn(requests int, call func(*sealingStore, int)) []time.Duration {
	took := make([]time.Duration, requests)
	var wg sync.WaitGroup
	for c := range sealingClients {
		wg.Go(func() {
			for n := c; n < requests; n += sealingClients {
				began := time.Now()
				call(s, n)
				took[n] = time.Since(began)
			}
		})
	}
	wg.Wait()
	return took
}

func (s *sealingStore) post(n int) { s.ask(n, "POST", "/messages", s.body, http.StatusCreated) }

func (s *sealingStore) list(n int) { s.ask(n, "GET", "/messages?limit=50", nil, http.StatusOK) }

func (s *sealingStore) ask(n int, method, path string, body []byte, want int) {
	r, err := http.NewRequestWithContext(context.Background(), method, s.url+threadPath(s.threads[n%100])+path, bytes.NewReader(body))
	if err != nil {
		s.b.Error(err)
		return
	}
	r.Header.Set("X-API-Key", "back")
	r.Header.Set("X-User-ID", fmt.Sprint("u", n%100))
	answer, err := s.client.Do(r)
	if err != nil {
		s.b.Error(err)
		return
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != want {
		s.b.Errorf("%s %s = %d, %v, want %d", method, path, answer.StatusCode, err, want)
	}
}
