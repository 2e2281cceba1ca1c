package engine_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/test/engine"
)

// Who merges metadata side by side loses nothing.
func TestMetadataMergedSideBySide(t *testing.T) {
	bucket := memblob.New(time.Now)
	e := engine.New(t, bucket, 1)
	call := chat.Call{Caller: chat.Owner{User: "u1"}}
	made, err := e.Service.CreateThread(t.Context(), call, chat.NewThread{Title: "one"})
	if err != nil {
		t.Fatal(err)
	}
	ref := chat.ThreadRef{ID: made.Thread}
	const callers = 4
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			change := chat.ThreadChange{Metadata: fmt.Appendf(nil, `{"m%d":%d}`, i, i)}
			if _, _, err := e.Service.PatchThread(t.Context(), call, ref, change, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	thread, _, err := e.Service.GetThread(t.Context(), call, ref)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]int
	if err := json.Unmarshal(thread.Metadata, &got); err != nil || len(got) != callers || thread.Revision != callers {
		t.Errorf("metadata = %s at revision %d, %v", thread.Metadata, thread.Revision, err)
	}
}
