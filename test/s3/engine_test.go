package s3_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/test/engine"
	"github.com/bobbindb/bobbin/test/httpscript/contract"
)

// The whole conversations of the HTTP contract, on a store that lies on S3.
func TestConversations(t *testing.T) {
	contract.Run(t, scripts, func(t *testing.T) *chat.Service {
		return engine.New(t, newBucket(t, "store"), 1).Service
	})
}

// Three engines on one log, each posting for itself while a compactor takes
// checkpoints: every message that was acknowledged is in the list of an engine opened
// afterwards, once.
func TestWritersSideBySide(t *testing.T) {
	const engines, posters, each = 3, 4, 10
	bucket := newBucket(t, "store")
	s, err := engine.Create(t.Context(), bucket, 1)
	if err != nil {
		t.Fatal(err)
	}
	caller := chat.Call{Caller: chat.Owner{User: "ada"}}
	first := engine.Start(t, bucket, s)
	made, err := first.Service.CreateThread(t.Context(), caller, chat.NewThread{Title: "shared"})
	if err != nil {
		t.Fatal(err)
	}
	thread := chat.ThreadRef{ID: made.Thread}

	var posting sync.WaitGroup
	var mu sync.Mutex
	acknowledged := map[string]chat.MessageID{}
	for i := range engines {
		e := engine.Start(t, bucket, s)
		for j := range posters {
			posting.Go(func() {
				for k := range each {
					body := fmt.Sprintf(`"%d-%d-%d"`, i, j, k)
					result, err := e.Service.PostMessage(t.Context(), caller, thread, chat.Post{Body: []byte(body)})
					if err != nil {
						t.Errorf("PostMessage(%s) = %v", body, err)
						return
					}
					mu.Lock()
					acknowledged[body] = result.Messages[0]
					mu.Unlock()
				}
			})
		}
	}
	posting.Go(func() {
		for range 3 {
			if _, err := engine.Compact(context.WithoutCancel(t.Context()), bucket, s, 0); err != nil {
				t.Errorf("Compact() = %v", err)
			}
		}
	})
	posting.Wait()

	page, _, err := engine.Start(t, bucket, s).Service.ListMessages(t.Context(), caller, thread, chat.MessageQuery{Cursor: chat.Cursor{Limit: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Messages) != engines*posters*each || len(acknowledged) != len(page.Messages) {
		t.Errorf("%d messages are listed and %d were acknowledged, want %d of each", len(page.Messages), len(acknowledged), engines*posters*each)
	}
	for _, m := range page.Messages {
		if want := acknowledged[string(m.Body)]; m.ID != want {
			t.Errorf("message %s has the id %v, was acknowledged as %v", m.Body, m.ID, want)
		}
	}
}
