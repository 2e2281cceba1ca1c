package access_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bobbindb/bobbin/shared/access"
	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

var start = time.Date(2026, 1, 31, 23, 0, 0, 0, time.UTC)

func TestCreatedKeyIsKeptByItsHash(t *testing.T) {
	bucket := memblob.New(time.Now)
	var made access.Key
	var secret string
	_, err := access.Update(t.Context(), bucket, func(l *access.List) error {
		made, secret = l.Create(access.NewKey{Role: access.Backend, Tenant: "acme", Name: "web", Expires: start.Add(time.Hour)}, start)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(secret, "bk_") || len(secret) < 40 {
		t.Errorf("Create() gave the secret %q, want bk_ and at least 40 characters", secret)
	}
	stored, err := bucket.Get(t.Context(), access.ObjectKey)
	if err != nil || bytes.Contains(stored.Body, []byte(secret)) {
		t.Errorf("the object holds the secret itself, or is not there: %v", err)
	}
	l, err := access.Read(t.Context(), bucket)
	if err != nil || len(l.Keys) != 1 {
		t.Fatalf("Read() = %+v, %v, want one key", l, err)
	}
	got, want := l.Keys[0], access.HashOf(secret)
	if got.ID != made.ID || !bytes.Equal(got.Hash, want[:]) || got.Tenant != "acme" || got.Name != "web" || got.Role != access.Backend {
		t.Errorf("Read() has key %+v, want %+v", got, made)
	}
	if !got.Active(start) || got.Active(start.Add(time.Hour)) {
		t.Errorf("Active() = %t at the start and %t after an hour, want true and false", got.Active(start), got.Active(start.Add(time.Hour)))
	}
}

func TestRevoke(t *testing.T) {
	l := &access.List{}
	admin, _ := l.Create(access.NewKey{Role: access.Admin}, start)
	web, _ := l.Create(access.NewKey{Role: access.Frontend}, start)
	for _, id := range []string{web.ID, web.ID} {
		if err := l.Revoke(id, start.Add(time.Second)); err != nil {
			t.Errorf("Revoke(%s) = %v", id, err)
		}
	}
	if k := l.Keys[1]; k.Active(start) || k.Revoked != start.Add(time.Second).UnixNano() {
		t.Errorf("a revoked key is %+v, want it over since its first revocation", k)
	}
	if err := l.Revoke(admin.ID, start); !errors.Is(err, access.ErrLastKey) {
		t.Errorf("Revoke() of the last admin key = %v, want ErrLastKey", err)
	}
	if err := l.Revoke("key_none", start); !errors.Is(err, access.ErrUnknownKey) {
		t.Errorf("Revoke() of no key = %v, want ErrUnknownKey", err)
	}
	if l.Create(access.NewKey{Role: access.Admin}, start); l.Revoke(admin.ID, start) != nil {
		t.Errorf("Revoke() of an admin key beside another failed")
	}
}

func TestRotate(t *testing.T) {
	l := &access.List{}
	old, _ := l.Create(access.NewKey{Role: access.Backend, Tenant: "acme", Name: "web"}, start)
	made, secret, err := l.Rotate(old.ID, time.Hour, start)
	if err != nil || made.Role != access.Backend || made.Tenant != "acme" || made.Name != "web" || secret == "" {
		t.Fatalf("Rotate() = %+v, %v, want a key like the old one", made, err)
	}
	for at, want := range map[time.Duration]bool{59 * time.Minute: true, time.Hour: false} {
		if got := l.Keys[0].Active(start.Add(at)); got != want {
			t.Errorf("the old key is active %s later: %t, want %t", at, got, want)
		}
	}
	if !l.Keys[1].Active(start.Add(100 * time.Hour)) {
		t.Error("the new key expires, want never")
	}
	if _, _, err := l.Rotate(old.ID, time.Hour, start.Add(2*time.Hour)); !errors.Is(err, access.ErrUnknownKey) {
		t.Errorf("Rotate() of a key that is over = %v, want ErrUnknownKey", err)
	}
}

// Who loses every race gives up, and says that others were faster.
func TestUpdateLosesEveryRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bucket, tries, began := memblob.New(time.Now), 0, time.Now()
		_, err := access.Update(t.Context(), bucket, func(l *access.List) error {
			tries++
			_, err := access.Update(t.Context(), bucket, func(l *access.List) error {
				l.Create(access.NewKey{Role: access.Backend}, start)
				return nil
			})
			return err
		})
		if !errors.Is(err, blob.ErrLostSwap) || tries != 10 {
			t.Errorf("Update() = %v after %d tries, want ErrLostSwap after 10", err, tries)
		}
		if took := time.Since(began); took < time.Second || took > 10*time.Second {
			t.Errorf("Update() gave up after %s, want pauses of some seconds", took)
		}
	})
}

func TestUsedIsNewsOnceADay(t *testing.T) {
	l := &access.List{}
	k, _ := l.Create(access.NewKey{Role: access.Backend}, start)
	for _, step := range []struct {
		at   time.Duration
		want bool
	}{{0, true}, {30 * time.Minute, false}, {time.Hour, true}, {time.Minute, false}} {
		if got := l.Used(k.ID, start.Add(step.at)); got != step.want {
			t.Errorf("Used() %s after the start = %t, want %t", step.at, got, step.want)
		}
	}
	if l.Keys[0].LastUsed != "2026-02-01" {
		t.Errorf("LastUsed = %s, want 2026-02-01", l.Keys[0].LastUsed)
	}
}

// label is a Sealer that only binds a secret to its name.
type label struct{}

func (label) SealSecret(_ context.Context, name string, secret []byte) ([]byte, error) {
	return []byte(name + "=" + string(secret)), nil
}

func (label) OpenSecret(_ context.Context, name string, sealed []byte) ([]byte, error) {
	secret, ok := strings.CutPrefix(string(sealed), name+"=")
	if !ok {
		return nil, errors.New("sealed under another name")
	}
	return []byte(secret), nil
}

func TestSigningKeys(t *testing.T) {
	l := &access.List{}
	var ids []string
	for i := range 3 {
		k, err := access.SealSigningKey(t.Context(), label{}, fmt.Sprint("secret", i), start)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, k.ID)
		l.RotateSigning(k, time.Hour, start.Add(time.Duration(i)*time.Minute))
	}
	for i, want := range []time.Duration{61 * time.Minute, 62 * time.Minute, 1 << 60} {
		if !l.Signing[i].Active(start.Add(want-time.Second)) || i < 2 && l.Signing[i].Active(start.Add(want)) {
			t.Errorf("key %d expires at %d, want %s after the start", i, l.Signing[i].Expires, want)
		}
		if secret, err := l.Signing[i].Open(t.Context(), label{}); err != nil || string(secret) != fmt.Sprint("secret", i) {
			t.Errorf("Open() of key %d = %q, %v", i, secret, err)
		}
	}
	swapped := l.Signing[0]
	swapped.Sealed = l.Signing[1].Sealed
	if _, err := swapped.Open(t.Context(), label{}); err == nil {
		t.Error("Open() of another key's secret succeeded")
	}
	late := start.Add(2 * time.Hour)
	if err := l.RevokeSigning(ids[2], late); !errors.Is(err, access.ErrLastKey) {
		t.Errorf("RevokeSigning() of the only active key = %v, want ErrLastKey", err)
	}
	if err := l.RevokeSigning(ids[0], late); err != nil || len(l.Signing) != 2 {
		t.Errorf("RevokeSigning() = %v and leaves %d keys, want 2", err, len(l.Signing))
	}
	if err := l.RevokeSigning(ids[0], late); !errors.Is(err, access.ErrUnknownKey) {
		t.Errorf("RevokeSigning() again = %v, want ErrUnknownKey", err)
	}
}

// Of any number of changes at once none is lost, also when replies are.
func TestUpdatesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		puts := 0
		bucket := blobtest.NewFaults(memblob.New(time.Now), func(call blobtest.Call) blobtest.Fault {
			mu.Lock()
			defer mu.Unlock()
			if call.Op == blobtest.Put {
				puts++
			}
			if call.Op == blobtest.Put && puts%3 == 0 {
				return blobtest.LostReply
			}
			return blobtest.None
		})
		const n = 5
		var changing sync.WaitGroup
		for i := range n {
			changing.Go(func() {
				_, err := access.Update(t.Context(), bucket, func(l *access.List) error {
					l.Create(access.NewKey{Role: access.Backend, Name: fmt.Sprint(i)}, start)
					return nil
				})
				if err != nil {
					t.Errorf("Update() %d = %v", i, err)
				}
			})
		}
		changing.Wait()
		l, err := access.Read(t.Context(), bucket)
		if err != nil || len(l.Keys) != n {
			t.Errorf("Read() has %d keys, %v, want %d", len(l.Keys), err, n)
		}
	})
}

func TestReadRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		body string
		want error
	}{
		"garbage":        {"{", commitlog.ErrDamaged},
		"another format": {`{"format":2}`, commitlog.ErrUnknownFormat},
		"unknown field":  {`{"format":1,"nonce":"n","keys":[],"signing_keys":[],"more":1}`, commitlog.ErrUnknownFormat},
		"short hash":     {`{"format":1,"nonce":"n","keys":[{"id":"k","role":"admin","sha256":"AAAA","created_ts":1}],"signing_keys":[]}`, commitlog.ErrDamaged},
		"unknown role":   {`{"format":1,"nonce":"n","keys":[{"id":"k","role":"root","sha256":"` + strings.Repeat("A", 43) + `=","created_ts":1}],"signing_keys":[]}`, commitlog.ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			bucket := memblob.New(time.Now)
			if _, err := bucket.Put(t.Context(), access.ObjectKey, []byte(tt.body), blob.IfAbsent()); err != nil {
				t.Fatal(err)
			}
			if _, err := access.Read(t.Context(), bucket); !errors.Is(err, tt.want) {
				t.Errorf("Read() = %v, want %v", err, tt.want)
			}
		})
	}
}

// The format is frozen: what is written today is what this file holds.
func TestGolden(t *testing.T) {
	golden, err := os.ReadFile("testdata/access.json")
	if err != nil {
		t.Fatal(err)
	}
	bucket := memblob.New(time.Now)
	if _, err := bucket.Put(t.Context(), access.ObjectKey, golden, blob.IfAbsent()); err != nil {
		t.Fatal(err)
	}
	l, err := access.Read(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	want := access.HashOf("bk_example")
	if !bytes.Equal(l.Keys[0].Hash, want[:]) || l.Keys[1].Role != access.Admin || string(l.Signing[0].Sealed) != "sealed" {
		t.Errorf("Read() = %+v, want the keys of the file", l)
	}
	again, err := json.MarshalIndent(l, "", "  ")
	if err != nil || !bytes.Equal(append(again, '\n'), golden) {
		t.Errorf("written again it is %s, %v, want %s", again, err, golden)
	}
}

func TestWatch(t *testing.T) {
	now, fault := start, blobtest.None
	recorder := blobtest.NewRecorder(blobtest.NewFaults(memblob.New(time.Now), func(blobtest.Call) blobtest.Fault { return fault }))
	watch := access.NewWatch(recorder, func() time.Time { return now }, func(_ context.Context, l *access.List) (int, error) {
		return len(l.Keys), nil
	})
	add := func() {
		t.Helper()
		if _, err := access.Update(t.Context(), recorder, func(l *access.List) error {
			l.Create(access.NewKey{Role: access.Admin}, now)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	add()
	steps := []struct {
		name  string
		later time.Duration
		act   func()
		keys  int
		fails bool
		gets  int
	}{
		{"first", 0, nil, 1, false, 1},
		{"at once", 0, nil, 1, false, 0},
		{"changed a moment ago", 29 * time.Second, add, 1, false, 0},
		{"half a minute old", time.Second, nil, 2, false, 1},
		{"bucket is down", 31 * time.Second, func() { fault = blobtest.NotStored }, 2, false, 1},
		{"asked again at once", 500 * time.Millisecond, nil, 2, false, 0},
		{"a minute old", 29 * time.Second, nil, 0, true, 1},
		{"bucket is back", time.Second, func() { fault = blobtest.None }, 2, false, 1},
		{"dropped", 0, func() { add(); watch.Drop() }, 3, false, 1},
		{"clock goes back", -time.Hour, nil, 3, false, 1},
	}
	for _, step := range steps {
		now = now.Add(step.later)
		if step.act != nil {
			step.act()
		}
		recorder.Reset()
		got, err := watch.Now(t.Context())
		if got != step.keys || (err != nil) != step.fails {
			t.Errorf("%s: Now() = %d, %v, want %d, an error: %t", step.name, got, err, step.keys, step.fails)
		}
		if gets := len(recorder.Calls()); gets != step.gets {
			t.Errorf("%s: %d calls of the bucket, want %d", step.name, gets, step.gets)
		}
	}
}

func FuzzRead(f *testing.F) {
	golden, err := os.ReadFile("testdata/access.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add([]byte(`{"format":1,"keys":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		bucket := memblob.New(time.Now)
		if _, err := bucket.Put(t.Context(), access.ObjectKey, body, blob.IfAbsent()); err != nil {
			t.Fatal(err)
		}
		l, err := access.Read(t.Context(), bucket)
		if err != nil {
			return
		}
		for i := range l.Keys {
			if len(l.Keys[i].Hash) != len(access.Hash{}) || !l.Keys[i].Role.Valid() {
				t.Errorf("Read() took key %+v", l.Keys[i])
			}
		}
	})
}
