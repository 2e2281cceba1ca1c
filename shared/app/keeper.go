package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bobbindb/bobbin/shared/seal"
	"github.com/bobbindb/bobbin/shared/seal/awskms"
	"github.com/bobbindb/bobbin/shared/seal/localkeeper"
	"github.com/bobbindb/bobbin/shared/telemetry"
)

// KeeperRef says who holds a top key: one of its fields is set.
type KeeperRef struct {
	File string // path of a key file
	KMS  string // id, ARN or alias of a KMS key
}

// keeperName is where a store's folder has its key file. A name that begins with a dot
// is no object of the bucket.
const keeperName = ".keeper.key"

// readKeepers reads one reference, or several for a move: the first wraps.
func readKeepers(c *Config, s string) error {
	var refs []KeeperRef
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		path, fileErr := localkeeper.Path(part)
		key, kmsErr := awskms.Key(part)
		switch {
		case fileErr == nil:
			refs = append(refs, KeeperRef{File: filepath.Clean(path)})
		case kmsErr == nil:
			refs = append(refs, KeeperRef{KMS: key})
		default:
			return errors.New("want file:///PATH or awskms://KEY, or the new one and the old one with a comma between")
		}
	}
	c.Keepers = refs
	return nil
}

// checkKeepers refuses what could not keep a store's keys apart from its objects.
func (c *Config) checkKeepers() error {
	if len(c.Keepers) == 0 && strings.HasPrefix(c.Bucket, s3Scheme) {
		return errors.New("--keeper: a store on S3 must be told who holds its top key, like awskms://alias/NAME")
	}
	dir := c.folder()
	for _, ref := range c.Keepers {
		inside, err := filepath.Rel(dir, ref.File)
		if dir == "" || ref.File == "" || err != nil || strings.HasPrefix(inside, ".") {
			continue
		}
		return fmt.Errorf("--keeper: %s lies among the store's objects; in its folder the name must begin with a dot", ref.File)
	}
	return nil
}

// ErrKeyFileMissing: the file that opens everything in the store is not where it should
// be. Nobody makes another one: it would open nothing.
var ErrKeyFileMissing = errors.New("the store's key file is missing")

// openKeeper opens who holds the top key. Where a store is being made, a key file that
// is missing is made with it.
func openKeeper(ctx context.Context, cfg Config, isNew bool) (seal.Keepers, error) {
	var keepers seal.Keepers
	for i, ref := range cfg.Keepers {
		var k seal.Keeper
		var err error
		switch {
		case ref.KMS != "":
			k, err = openKMS(ctx, ref.KMS)
		case isNew && i == 0:
			k, err = localkeeper.OpenOrCreate(ref.File)
		default:
			k, err = localkeeper.Open(ref.File)
		}
		if errors.Is(err, fs.ErrNotExist) && !isNew {
			err = fmt.Errorf("%w: %w", ErrKeyFileMissing, err)
		}
		if err != nil {
			return nil, err
		}
		keepers = append(keepers, k)
	}
	if len(keepers) == 0 {
		return nil, errors.New("--keeper: nobody holds the top key")
	}
	return keepers, nil
}

// openKMS reaches AWS KMS as openS3 reaches S3.
func openKMS(ctx context.Context, key string) (*awskms.Keeper, error) {
	ctx, cancel := context.WithTimeout(ctx, finding)
	defer cancel()
	found, err := readAWS(ctx)
	if err != nil {
		return nil, err
	}
	return awskms.New(found, awskms.Options{Key: key}), nil
}

// watchedKeeper counts a Keeper's calls, and knows when one worked last.
type watchedKeeper struct {
	seal.Keeper
	metrics *telemetry.Metrics
	worked  atomic.Int64 // in nanoseconds since 1970
}

// Wrap implements seal.Keeper.
func (k *watchedKeeper) Wrap(ctx context.Context, c seal.Context, key []byte) ([]byte, error) {
	wrapped, err := k.Keeper.Wrap(ctx, c, key)
	k.note("wrap", err)
	return wrapped, err
}

// Unwrap implements seal.Keeper.
func (k *watchedKeeper) Unwrap(ctx context.Context, c seal.Context, wrapped []byte) ([]byte, error) {
	key, err := k.Keeper.Unwrap(ctx, c, wrapped)
	k.note("unwrap", err)
	return key, err
}

func (k *watchedKeeper) note(operation string, err error) {
	k.metrics.KeeperCall(operation, err)
	if err == nil {
		k.worked.Store(time.Now().UnixNano())
	}
}

// workedWithin reports whether a call worked so lately.
func (k *watchedKeeper) workedWithin(d time.Duration) bool {
	since := time.Since(time.Unix(0, k.worked.Load()))
	return 0 <= since && since < d
}
