// Package awskms keeps the top key in AWS KMS.
//
// A key is named by its id, its ARN, an alias ("alias/bobbin") or an alias's ARN; an ARN
// also says the Region. What it wraps is a byte 2 and what KMS's Encrypt returned, with
// the encryption context {"store": <id>, "purpose": <what for>}. Only the key that is
// configured unwraps: a ciphertext of somebody else's key, put into the bucket, is
// refused by KMS. Where an alias is moved to another key, what the old one wrapped is
// ErrWrongKey, until the old key is given beside it (seal.Keepers) and the KEKs are
// rotated. KMS's own rotation changes nothing here, and a replica of a multi-Region key
// unwraps what any of its kin wrapped.
//
// Who only reads and writes texts needs kms:Decrypt, who rotates kms:Encrypt too, best
// with the condition that "kms:EncryptionContext:store" is the store's id. A key policy,
// an IAM policy or a grant may give it; a grant that was made a moment ago may be
// refused as denied until KMS knows of it everywhere, which is ErrUnavailable, so that
// trying again is right.
package awskms

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/bobbindb/bobbin/shared/seal"
)

const (
	// DefaultAttempts is how often a call is tried.
	DefaultAttempts = 3
	// DefaultTimeout is how long one try may take. With the pauses between tries a call
	// ends well before a writer's deadline.
	DefaultTimeout = 2 * time.Second
	// DefaultBackoff is the longest pause before another try.
	DefaultBackoff = 500 * time.Millisecond

	// maxBlob is the longest ciphertext that KMS takes, in bytes.
	maxBlob = 6144
)

// Options say which key it is.
type Options struct {
	Key      string        // id, ARN, alias or alias's ARN
	Attempts int           // 0 for DefaultAttempts
	Timeout  time.Duration // of one try, 0 for DefaultTimeout
	Backoff  time.Duration // at the most, 0 for DefaultBackoff
}

// Keeper wraps with a KMS key.
type Keeper struct {
	client *kms.Client
	key    string
}

var _ seal.Keeper = (*Keeper)(nil)

// New returns the Keeper of a key. cfg brings the credentials, and the Region where the
// key's name does not. Nothing is called yet.
func New(cfg aws.Config, o Options) *Keeper {
	if o.Attempts == 0 {
		o.Attempts = DefaultAttempts
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Backoff == 0 {
		o.Backoff = DefaultBackoff
	}
	client := kms.NewFromConfig(cfg, func(k *kms.Options) {
		if name, err := arn.Parse(o.Key); err == nil {
			k.Region = name.Region
		}
		k.HTTPClient = awshttp.NewBuildableClient().WithTimeout(o.Timeout).WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConnsPerHost = 4
		})
		k.Retryer = retry.NewStandard(func(s *retry.StandardOptions) {
			s.MaxAttempts, s.MaxBackoff = o.Attempts, o.Backoff
		})
	})
	return &Keeper{client: client, key: o.Key}
}

// Wrap implements seal.Keeper.
func (k *Keeper) Wrap(ctx context.Context, c seal.Context, key []byte) ([]byte, error) {
	if len(key) == 0 || len(key) > seal.MaxWrap {
		return nil, fmt.Errorf("wrap a key of %d bytes: must be 1 to %d", len(key), seal.MaxWrap)
	}
	out, err := k.client.Encrypt(ctx, &kms.EncryptInput{
		KeyId: &k.key, Plaintext: key, EncryptionContext: contextOf(c),
	})
	if err != nil {
		return nil, fmt.Errorf("wrap with %s: %w", k.key, classify(ctx, err))
	}
	if len(out.CiphertextBlob) == 0 {
		return nil, fmt.Errorf("wrap with %s: %w: an answer without a ciphertext", k.key, seal.ErrUnavailable)
	}
	return append([]byte{seal.WrappedByKMS}, out.CiphertextBlob...), nil
}

// Unwrap implements seal.Keeper.
func (k *Keeper) Unwrap(ctx context.Context, c seal.Context, wrapped []byte) ([]byte, error) {
	if len(wrapped) > 0 && wrapped[0] != seal.WrappedByKMS {
		return nil, fmt.Errorf("unwrap with %s: %w", k.key, seal.ErrWrongKey)
	}
	if len(wrapped) < 2 || len(wrapped) > 1+maxBlob {
		return nil, fmt.Errorf("unwrap with %s: %d bytes: %w", k.key, len(wrapped), seal.ErrDamaged)
	}
	out, err := k.client.Decrypt(ctx, &kms.DecryptInput{
		KeyId: &k.key, CiphertextBlob: wrapped[1:], EncryptionContext: contextOf(c),
	})
	if err != nil {
		return nil, fmt.Errorf("unwrap with %s: %w", k.key, classify(ctx, err))
	}
	if len(out.Plaintext) == 0 {
		return nil, fmt.Errorf("unwrap with %s: %w: an answer without a key", k.key, seal.ErrUnavailable)
	}
	return out.Plaintext, nil
}

// Name implements seal.Keeper.
func (k *Keeper) Name() string { return "AWS KMS " + k.key }

// contextOf is the encryption context.
func contextOf(c seal.Context) map[string]string {
	return map[string]string{"store": c.Store, "purpose": c.Purpose}
}

// classify says what an error means for what is wrapped. Only two of KMS's answers are
// about that; whatever else it says, or where it says nothing, nothing was learned.
func classify(ctx context.Context, err error) error {
	var incorrect *types.IncorrectKeyException
	var invalid *types.InvalidCiphertextException
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &incorrect):
		return fmt.Errorf("%w: %w", seal.ErrWrongKey, err)
	case errors.As(err, &invalid):
		return fmt.Errorf("%w: %w", seal.ErrDamaged, err)
	}
	return fmt.Errorf("%w: %w", seal.ErrUnavailable, err)
}

// Key is the key that a reference names: "awskms://" and an id, an ARN or an alias.
func Key(reference string) (string, error) {
	key, ok := strings.CutPrefix(reference, "awskms://")
	if !ok || key == "" || strings.ContainsAny(key, " ?#%") || strings.HasPrefix(key, "/") {
		return "", fmt.Errorf("KMS key %q: want awskms://alias/<name>, awskms://<key id> or awskms://<ARN>", reference)
	}
	return key, nil
}
