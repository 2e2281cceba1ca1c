package awskms_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/bobbindb/bobbin/shared/seal"
	"github.com/bobbindb/bobbin/shared/seal/awskms"
	"github.com/bobbindb/bobbin/shared/seal/awskms/kmstest"
	"github.com/bobbindb/bobbin/shared/seal/sealtest"
)

// moto is the address of a KMS that somebody else wrote; scripts/test-moto starts one.
var moto = flag.String("moto", "", "also test against the moto server at this address")

const region = "eu-west-1"

var here = seal.Context{Store: "abcdefghijklmnopqrstuvwxyz", Purpose: "kek/00000001"}

// home is a KMS as an operator sees it.
type home struct {
	*kms.Client
	cfg aws.Config

	// wrongKey is how a key refuses what another one wrapped.
	wrongKey error
}

func at(cfg aws.Config) home {
	return home{Client: kms.NewFromConfig(cfg), cfg: cfg, wrongKey: seal.ErrWrongKey}
}

func (h home) keeper(name string) *awskms.Keeper {
	return awskms.New(h.cfg, awskms.Options{Key: name})
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// newKey makes a key and returns its ARN.
func (h home) newKey(t *testing.T) string {
	t.Helper()
	return *must[*kms.CreateKeyOutput](t)(h.CreateKey(t.Context(), &kms.CreateKeyInput{})).KeyMetadata.Arn
}

func wrap(t *testing.T, k seal.Keeper, key string) []byte {
	t.Helper()
	return must[[]byte](t)(k.Wrap(t.Context(), here, []byte(key)))
}

// opens checks that a Keeper opens what was wrapped.
func opens(t *testing.T, k seal.Keeper, wrapped []byte, want string) {
	t.Helper()
	if got, err := k.Unwrap(t.Context(), here, wrapped); err != nil || string(got) != want {
		t.Errorf("Unwrap() with %s = %q, %v, want %q", k.Name(), got, err, want)
	}
}

// refuses checks that a Keeper refuses what was wrapped, and why.
func refuses(t *testing.T, k seal.Keeper, wrapped []byte, want error) {
	t.Helper()
	got, err := k.Unwrap(t.Context(), here, wrapped)
	if !errors.Is(err, want) || got != nil {
		t.Errorf("Unwrap() with %s = %q, %v, want %v", k.Name(), got, err, want)
	}
	for _, other := range []error{seal.ErrUnavailable, seal.ErrWrongKey, seal.ErrDamaged} {
		if !errors.Is(want, other) && errors.Is(err, other) {
			t.Errorf("Unwrap() with %s = %v, which is %v too", k.Name(), err, other)
		}
	}
}

func TestContract(t *testing.T) {
	h := at(kmstest.New(t).Config(region))
	sealtest.Run(t, func(t *testing.T) seal.Keeper { return h.keeper(h.newKey(t)) })
}

// TestKMS says what KMS does that Bobbin and its operators rely on: of our own fake and,
// where there is one, of moto.
func TestKMS(t *testing.T) {
	t.Run("fake", func(t *testing.T) {
		h := at(kmstest.New(t).Config(region))
		h.testShared(t)
		t.Run("disabled", h.testDisabled)
		t.Run("pending deletion", h.testPending)
	})
	if *moto == "" {
		return
	}
	t.Run("moto", func(t *testing.T) {
		cfg := kmstest.New(t).Config(region)
		cfg.BaseEndpoint = moto
		h := at(cfg)
		// KMS answers IncorrectKeyException; moto that access is denied.
		h.wrongKey = seal.ErrUnavailable
		h.testShared(t)
	})
}

// testShared is what moto knows too.
func (h home) testShared(t *testing.T) {
	t.Run("data key", h.testDataKey)
	t.Run("context", h.testContext)
	t.Run("another key", h.testAnotherKey)
	t.Run("re-encrypt", h.testReEncrypt)
	t.Run("rotation", h.testRotation)
	t.Run("alias", h.testAlias)
	t.Run("unknown", h.testUnknown)
}

func (h home) testDataKey(t *testing.T) {
	arn := h.newKey(t)
	made := must[*kms.GenerateDataKeyOutput](t)(h.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{
		KeyId: &arn, KeySpec: types.DataKeySpecAes256,
		EncryptionContext: map[string]string{"store": here.Store, "purpose": here.Purpose},
	}))
	if len(made.Plaintext) != seal.KeySize {
		t.Errorf("GenerateDataKey() made %d bytes, want %d", len(made.Plaintext), seal.KeySize)
	}
	opens(t, h.keeper(arn), append([]byte{seal.WrappedByKMS}, made.CiphertextBlob...), string(made.Plaintext))
}

func (h home) testContext(t *testing.T) {
	k := h.keeper(h.newKey(t))
	wrapped := wrap(t, k, "key")
	opens(t, k, wrapped, "key")
	for _, c := range []seal.Context{{Store: "other", Purpose: here.Purpose}, {Store: here.Store, Purpose: "kek/00000002"}} {
		if got, err := k.Unwrap(t.Context(), c, wrapped); !errors.Is(err, seal.ErrDamaged) || got != nil {
			t.Errorf("Unwrap() for %v = %q, %v, want ErrDamaged", c, got, err)
		}
	}
}

func (h home) testAnotherKey(t *testing.T) {
	k, other := h.keeper(h.newKey(t)), h.keeper(h.newKey(t))
	wrapped := wrap(t, k, "key")
	refuses(t, other, wrapped, h.wrongKey)
	opens(t, seal.Keepers{other, k}, wrapped, "key")
}

func (h home) testReEncrypt(t *testing.T) {
	from, to := h.newKey(t), h.newKey(t)
	both := map[string]string{"store": here.Store, "purpose": here.Purpose}
	moved := must[*kms.ReEncryptOutput](t)(h.ReEncrypt(t.Context(), &kms.ReEncryptInput{
		CiphertextBlob: wrap(t, h.keeper(from), "key")[1:], SourceKeyId: &from, DestinationKeyId: &to,
		SourceEncryptionContext: both, DestinationEncryptionContext: both,
	}))
	wrapped := append([]byte{seal.WrappedByKMS}, moved.CiphertextBlob...)
	opens(t, h.keeper(to), wrapped, "key")
	refuses(t, h.keeper(from), wrapped, h.wrongKey)
}

func (h home) testRotation(t *testing.T) {
	arn := h.newKey(t)
	k := h.keeper(arn)
	before := wrap(t, k, "before")
	must[*kms.RotateKeyOnDemandOutput](t)(h.RotateKeyOnDemand(t.Context(), &kms.RotateKeyOnDemandInput{KeyId: &arn}))
	after := wrap(t, k, "after")
	opens(t, k, before, "before")
	opens(t, k, after, "after")
}

func (h home) testAlias(t *testing.T) {
	first, second := h.newKey(t), h.newKey(t)
	name := fmt.Sprintf("alias/bobbin-%d", time.Now().UnixNano())
	must[*kms.CreateAliasOutput](t)(h.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: &name, TargetKeyId: &first}))
	k := h.keeper(name)
	wrapped := wrap(t, k, "key")
	opens(t, k, wrapped, "key")
	opens(t, h.keeper(first), wrapped, "key")
	must[*kms.UpdateAliasOutput](t)(h.UpdateAlias(t.Context(), &kms.UpdateAliasInput{AliasName: &name, TargetKeyId: &second}))
	refuses(t, k, wrapped, h.wrongKey)
	opens(t, seal.Keepers{k, h.keeper(first)}, wrapped, "key")
	opens(t, h.keeper(second), wrap(t, k, "new"), "new")
}

func (h home) testDisabled(t *testing.T) {
	arn := h.newKey(t)
	k := h.keeper(arn)
	wrapped := wrap(t, k, "key")
	must[*kms.DisableKeyOutput](t)(h.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &arn}))
	refuses(t, k, wrapped, seal.ErrUnavailable)
	if got, err := k.Wrap(t.Context(), here, []byte("key")); !errors.Is(err, seal.ErrUnavailable) || got != nil {
		t.Errorf("Wrap() = %x, %v, want %v", got, err, seal.ErrUnavailable)
	}
	must[*kms.EnableKeyOutput](t)(h.EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: &arn}))
	opens(t, k, wrapped, "key")
}

func (h home) testPending(t *testing.T) {
	arn := h.newKey(t)
	k := h.keeper(arn)
	wrapped := wrap(t, k, "key")
	must[*kms.ScheduleKeyDeletionOutput](t)(h.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: &arn}))
	refuses(t, k, wrapped, seal.ErrUnavailable)
}

func (h home) testUnknown(t *testing.T) {
	wrapped := wrap(t, h.keeper(h.newKey(t)), "key")
	for _, name := range []string{"alias/nobody", "12345678-1234-1234-1234-123456789012"} {
		refuses(t, h.keeper(name), wrapped, seal.ErrUnavailable)
	}
}

func TestMultiRegion(t *testing.T) {
	server := kmstest.New(t)
	ireland := at(server.Config("eu-west-1"))
	made := must[*kms.CreateKeyOutput](t)(ireland.CreateKey(t.Context(), &kms.CreateKeyInput{MultiRegion: aws.Bool(true)}))
	replica := must[*kms.ReplicateKeyOutput](t)(ireland.ReplicateKey(t.Context(), &kms.ReplicateKeyInput{
		KeyId: made.KeyMetadata.KeyId, ReplicaRegion: aws.String("us-east-1"),
	}))
	wrapped := wrap(t, ireland.keeper(*made.KeyMetadata.Arn), "key")
	for name, k := range map[string]seal.Keeper{
		"by the replica's ARN, configured elsewhere": ireland.keeper(*replica.ReplicaKeyMetadata.Arn),
		"by its id there": at(server.Config("us-east-1")).keeper(*made.KeyMetadata.KeyId),
	} {
		t.Run(name, func(t *testing.T) { opens(t, k, wrapped, "key") })
	}
	// A replica that is not there yet is no damage.
	refuses(t, at(server.Config("us-east-2")).keeper(*made.KeyMetadata.KeyId), wrapped, seal.ErrUnavailable)
}

// TestFaults says for each thing that may befall a call whether the next try helps, what
// the answer is when it does not, and how often KMS is asked.
func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name    string
		fault   kmstest.Fault
		retried bool
	}{
		{"reply lost", kmstest.LostReply, true},
		{"connection reset", kmstest.Reset, true},
		{"no answer", kmstest.Hang, true},
		{"throttled", kmstest.Throttled, true},
		{"internal error", kmstest.Internal, true},
		{"dependency timeout", kmstest.Dependency, true},
		{"key unavailable", kmstest.NoKey, true},
		{"503", kmstest.Unavailable, true},
		{"denied", kmstest.Denied, false},
		{"unknown credentials", kmstest.UnknownClient, false},
		{"no JSON", kmstest.Garbage, false},
		{"an empty answer", kmstest.Empty, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := kmstest.New(t)
			h := at(server.Config(region))
			k := awskms.New(h.cfg, awskms.Options{Key: h.newKey(t), Timeout: 100 * time.Millisecond, Backoff: time.Millisecond})
			wrapped := wrap(t, k, "key")
			server.Fail(func(string, int) kmstest.Fault { return tt.fault })
			refuses(t, k, wrapped, seal.ErrUnavailable)
			want := 1
			if tt.retried {
				want = awskms.DefaultAttempts
			}
			if got := server.Calls("Decrypt"); got != want {
				t.Errorf("KMS was asked %d times, want %d", got, want)
			}
			if got, err := k.Wrap(t.Context(), here, []byte("key")); !errors.Is(err, seal.ErrUnavailable) || got != nil {
				t.Errorf("Wrap() = %x, %v, want %v", got, err, seal.ErrUnavailable)
			}
			server.Fail(func(_ string, n int) kmstest.Fault {
				if n == 1 {
					return tt.fault
				}
				return kmstest.None
			})
			if !tt.retried {
				refuses(t, k, wrapped, seal.ErrUnavailable)
			}
			opens(t, k, wrapped, "key")
			if got := server.Calls("Decrypt"); got != 2 {
				t.Errorf("KMS was asked %d times, want 2", got)
			}
		})
	}
}

// A caller who leaves gets its own error, not one that speaks of the keys.
func TestCallerLeaves(t *testing.T) {
	server := kmstest.New(t)
	h := at(server.Config(region))
	k := h.keeper(h.newKey(t))
	wrapped := wrap(t, k, "key")
	ctx, cancel := context.WithCancel(t.Context())
	server.Fail(func(string, int) kmstest.Fault { cancel(); return kmstest.Hang })
	if got, err := k.Unwrap(ctx, here, wrapped); !errors.Is(err, context.Canceled) || errors.Is(err, seal.ErrUnavailable) || got != nil {
		t.Errorf("Unwrap() = %q, %v, want %v", got, err, context.Canceled)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	server.Fail(func(string, int) kmstest.Fault { return kmstest.Hang })
	if got, err := k.Unwrap(ctx, here, wrapped); !errors.Is(err, context.DeadlineExceeded) || got != nil {
		t.Errorf("Unwrap() = %q, %v, want %v", got, err, context.DeadlineExceeded)
	}
}

func TestLocallyRefused(t *testing.T) {
	server := kmstest.New(t)
	h := at(server.Config(region))
	k := h.keeper(h.newKey(t))
	server.Fail(nil)
	refuses(t, k, []byte{seal.WrappedLocally, 0, 0, 0, 0}, seal.ErrWrongKey)
	refuses(t, k, nil, seal.ErrDamaged)
	refuses(t, k, []byte{seal.WrappedByKMS}, seal.ErrDamaged)
	refuses(t, k, append([]byte{seal.WrappedByKMS}, make([]byte, 6145)...), seal.ErrDamaged)
	if got := server.Calls("Decrypt"); got != 0 {
		t.Errorf("KMS was asked %d times, want never", got)
	}
}

func TestWrappedLayout(t *testing.T) {
	h := at(kmstest.New(t).Config(region))
	arn := h.newKey(t)
	wrapped := wrap(t, h.keeper(arn), "key")
	out := must[*kms.DecryptOutput](t)(h.Decrypt(t.Context(), &kms.DecryptInput{
		CiphertextBlob: wrapped[1:], EncryptionContext: map[string]string{"store": here.Store, "purpose": here.Purpose},
	}))
	if wrapped[0] != 2 || !bytes.Equal(out.Plaintext, []byte("key")) || *out.KeyId != arn {
		t.Errorf("Wrap() = %x, want a byte 2 and what Encrypt returned", wrapped)
	}
}

func TestKey(t *testing.T) {
	for reference, want := range map[string]string{
		"awskms://alias/bobbin":                                 "alias/bobbin",
		"awskms://arn:aws:kms:eu-west-1:111122223333:key/mrk-1": "arn:aws:kms:eu-west-1:111122223333:key/mrk-1",
		"awskms://1234":                                         "1234",
		"awskms://":                                             "", "awskms:///alias/x": "", "alias/bobbin": "", "file:///k": "", "awskms://a?region=x": "",
	} {
		got, err := awskms.Key(reference)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("Key(%q) = %q, %v, want %q", reference, got, err, want)
		}
	}
}
