package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/compactor"
	"github.com/bobbindb/bobbin/shared/janitor"
	"github.com/bobbindb/bobbin/shared/job"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/replica"
	"github.com/bobbindb/bobbin/shared/retention"
	"github.com/bobbindb/bobbin/shared/seal"
	"github.com/bobbindb/bobbin/shared/store"
	"github.com/bobbindb/bobbin/shared/telemetry"
	"github.com/bobbindb/bobbin/shared/writer"
)

// Store is a store open in this process: its partitions, its writers, and the loops
// that take checkpoints and clean up.
type Store struct {
	Catalog *catalog.Store
	Metrics *telemetry.Metrics

	cfg        Config
	log        *slog.Logger
	tracer     *telemetry.Tracer // nil traces nothing
	bucket     blob.Bucket
	closer     func() error
	work       *workDir // nil for a store opened only to be read
	partitions []*partition.Partition
	writers    *writer.Set
	compactors []*compactor.Loop
	janitor    *janitor.Loop
	purger     *retention.Purger
	purges     *retention.Loop // nil where nobody purges by itself
	jobs       *job.Runner     // nil where nobody asks for jobs
	sealing    *sealing        // nil for a store opened without its keys
	service    *chat.Service   // nil without keys
}

// blockCache is how many bytes of tables the partitions of a process keep uncompressed,
// together.
const blockCache = 64 << 20

// OpenStore opens a store to be read and written. Close it.
func OpenStore(ctx context.Context, cfg Config, log *slog.Logger) (*Store, error) {
	return openWriter(ctx, cfg, log, withKeys, (*Store).start)
}

// keys says whether a process opens and seals texts.
type keys int

const (
	withoutKeys keys = iota
	withKeys
	withKeysLater // it goes on where the Keeper cannot be asked yet
)

// openWriter opens a store and starts what works on it.
func openWriter(ctx context.Context, cfg Config, log *slog.Logger, k keys, start func(*Store)) (*Store, error) {
	s, err := open(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	if k != withoutKeys {
		if err := s.openSealing(ctx); err != nil {
			return nil, errors.Join(err, s.closer())
		}
	}
	// The janitor goes by it, and what it does not name may be deleted.
	if _, err := catalog.ReadRoots(ctx, s.bucket, s.Catalog); err != nil {
		return nil, errors.Join(fmt.Errorf("open store: %w", err), s.closer())
	}
	if s.work, err = newWorkDir(s.dir(cfg)); err != nil {
		return nil, errors.Join(err, s.closer())
	}
	if err := s.openPartitions(ctx, s.liveUse(), s.work.path); err != nil {
		return nil, errors.Join(err, s.work.remove(), s.closer())
	}
	if err := s.prove(ctx, k); err != nil {
		return nil, errors.Join(err, s.closePartitions(), s.work.remove(), s.closer())
	}
	s.work.tidy()
	start(s)
	return s, nil
}

// prove proves the keys of a process that needs them.
func (s *Store) prove(ctx context.Context, k keys) error {
	if k == withoutKeys {
		return nil
	}
	err := s.proveKeys(ctx)
	if k == withKeysLater && errors.Is(err, seal.ErrUnavailable) {
		s.log.Warn("keys are not available yet", "error", err)
		return nil
	}
	return err
}

// openReader opens a store only to be read: no writer, no loop, no file is made.
func openReader(ctx context.Context, cfg Config, log *slog.Logger, k keys) (*Store, error) {
	s, err := open(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	if k != withoutKeys {
		if err := s.openSealing(ctx); err != nil {
			return nil, errors.Join(err, s.closer())
		}
	}
	if err := s.openPartitions(ctx, store.Lazy, ""); err != nil {
		return nil, errors.Join(err, s.closer())
	}
	if err := s.prove(ctx, k); err != nil {
		return nil, errors.Join(err, s.closePartitions(), s.closer())
	}
	s.service = s.newService(nil)
	s.purger = s.newPurger(nil)
	return s, nil
}

// open reads what the store is. A folder that is missing is not made.
func open(ctx context.Context, cfg Config, log *slog.Logger) (*Store, error) {
	if dir := cfg.folder(); dir != "" {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("open store: %w", catalog.ErrNoStore)
		}
		if err := findForeign(dir); errors.Is(err, ErrForeignFolder) {
			return nil, fmt.Errorf("open store: %w: %w", catalog.ErrNoStore, err)
		}
	}
	bucket, closer, err := openBucket(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, log: log, closer: closer}
	s.Metrics = telemetry.New(release(), time.Now)
	if s.tracer, err = newTracer(ctx, cfg, log); err != nil {
		return nil, errors.Join(err, closer())
	}
	s.closer = func() error {
		s.endTraces()
		return closer()
	}
	s.bucket = telemetry.Bucket(bucket, s.Metrics, s.tracer)
	if s.Catalog, err = catalog.Read(ctx, s.bucket); err != nil {
		return nil, errors.Join(fmt.Errorf("open store: %w", err), s.closer())
	}
	return s, nil
}

// dir is where a process's working files go.
func (s *Store) dir(cfg Config) string {
	if cfg.CacheDir != "" {
		return cfg.CacheDir
	}
	if folder, ok := s.bucket.(blob.Folder); ok {
		return folder.Dir()
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("bobbin-%d", os.Getuid()))
}

// liveUse is what the databases of a running process are opened for: those of a folder
// have their tables at hand, others fetch what they touch and upload what they compact.
func (s *Store) liveUse() store.Use {
	if _, ok := s.bucket.(blob.Folder); ok {
		return store.Live
	}
	return store.Compact
}

func (s *Store) hasher() chat.Hasher { return chat.NewHasher(s.Catalog.Salt) }

// openPartitions opens all partitions at the same time.
func (s *Store) openPartitions(ctx context.Context, use store.Use, dir string) error {
	n := s.Catalog.Partitions()
	chunks := checkpoint.OpenCache(checkpoint.CacheOptions{Meter: s.Metrics})
	s.partitions = make([]*partition.Partition, n)
	group, ctx := errgroup.WithContext(ctx)
	for i := range n {
		group.Go(func() (err error) {
			s.partitions[i], err = s.openPartition(ctx, i, use, dir, chunks)
			if err == nil {
				s.Metrics.ReplicaOpened()
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		err = errors.Join(err, s.closePartitions())
		s.partitions = nil
		return err
	}
	return nil
}

func (s *Store) openPartition(ctx context.Context, number int, use store.Use, dir string, chunks *checkpoint.Cache) (*partition.Partition, error) {
	return partition.Open(ctx, partition.Options{
		Bucket:     s.bucket,
		Store:      s.Catalog,
		Branch:     s.Catalog.Branch,
		Number:     number,
		Dir:        dir,
		Use:        use,
		BlockCache: int64(blockCache / s.Catalog.Partitions()),
		Chunks:     chunks,
		Now:        time.Now,
		Release:    Version,
		Log:        s.log,
		Tracer:     s.tracer,
		ProofAge:   s.cfg.ProofAge,
	})
}

func (s *Store) closePartitions() error {
	var errs []error
	for _, p := range s.partitions {
		if p != nil {
			errs = append(errs, p.Close())
			s.Metrics.ReplicaClosed()
		}
	}
	return errors.Join(errs...)
}

// start starts a writer and a compactor for every partition, and the janitor.
func (s *Store) start() {
	s.startWriters()
	s.startJanitor(nil)
}

// startAll starts what start does, purges by itself, and works on what operators ask for
// and on what processes that ended left.
func (s *Store) startAll() {
	s.startWriters()
	s.jobs = job.New(job.Options{
		Bucket:  s.bucket,
		Kinds:   map[job.Kind]job.Work{retention.Kind: s.purger.Work()},
		Name:    newNonce(),
		Now:     time.Now,
		Nonce:   newNonce,
		Log:     s.log,
		Metrics: s.Metrics,
	})
	s.jobs.Look()
	s.startJanitor(s.jobs.Look)
	if s.cfg.PurgeEvery > 0 {
		s.purges = retention.StartLoop(s.purger, retention.LoopOptions{Every: s.cfg.PurgeEvery, Jitter: jitter})
	}
}

func (s *Store) startWriters() {
	s.writers = &writer.Set{Store: s.Catalog}
	for _, p := range s.partitions {
		loop := compactor.StartLoop(p, compactor.LoopOptions{
			Options: compactor.Options{Window: s.cfg.Window, Young: min(s.cfg.Grace, time.Hour), Nonce: newNonce, Now: time.Now},
			Log:     s.log,
		})
		s.compactors = append(s.compactors, loop)
		s.writers.Writers = append(s.writers.Writers, writer.New(p, writer.Options{
			Hasher:    s.hasher(),
			Log:       s.log,
			Metrics:   s.Metrics.Partition(p.Number),
			Tracer:    s.tracer,
			Committed: loop.Committed,
		}))
	}
	s.service = s.newService(s.writers)
	s.purger = s.newPurger(s.writers)
	s.Metrics.OnScrape(s.observe)
}

// jitter is what is added to a wait, so that processes do not run in step.
func jitter(every time.Duration) time.Duration { return mathrand.N(every/8 + 1) }

// startJanitor starts the janitor. after is called after each of its runs, so that what
// looks at the bucket besides keeps no schedule of its own; nil for nothing.
func (s *Store) startJanitor(after func()) {
	s.janitor = janitor.StartLoop(janitor.LoopOptions{
		Options: s.janitorOptions(),
		Every:   min(10*time.Minute, max(time.Second, min(s.cfg.Grace, s.cfg.FloorAge)/4)),
		Jitter:  jitter,
		Done: func(janitor.Report, error) {
			if after != nil {
				after()
			}
		},
	})
}

// observe tells the metrics where each partition stands. It is asked for whenever
// somebody looks, since another process may take a checkpoint, or commit.
func (s *Store) observe() {
	for _, p := range s.partitions {
		metrics, m := s.Metrics.Partition(p.Number), p.Manifest()
		metrics.Tail(p.Tail().Commits)
		metrics.Format(m.Formats.Max)
		if m.Seq > 0 {
			metrics.Checkpoint(uint64(m.Seq), time.Unix(0, m.Time))
		}
	}
}

func (s *Store) janitorOptions() janitor.Options {
	return janitor.Options{
		Bucket:   s.bucket,
		Store:    s.Catalog,
		Window:   s.cfg.Window,
		Grace:    s.cfg.Grace,
		FloorAge: s.cfg.FloorAge,
		Release:  Version,
		Log:      s.log,
	}
}

func (s *Store) newPurger(w chat.Writer) *retention.Purger {
	return retention.New(retention.Options{
		Store:      s.Catalog,
		Partitions: s.partitions,
		Writer:     w,
		Keep:       s.cfg.Retention,
		Now:        time.Now,
		NewID:      newCommandID,
		Log:        s.log,
		Metrics:    s.Metrics,
	})
}

func newCommandID() (id chat.CommandID) {
	rand.Read(id[:])
	return id
}

func newNonce() string { return strings.ToLower(rand.Text())[:16] }

func (s *Store) newService(w chat.Writer) *chat.Service {
	if s.sealing == nil {
		return nil
	}
	reader := s.replica()
	s.sealing.owners.Reader, s.sealing.owners.Writer = reader, w
	return &chat.Service{
		Reader:   reader,
		Writer:   w,
		Sealer:   s.sealing.sealer,
		Hasher:   s.hasher(),
		Now:      time.Now,
		NewID:    newCommandID,
		Resealed: s.Metrics.Resealed,
	}
}

// replica reads the open partitions.
func (s *Store) replica() *replica.Replica {
	return &replica.Replica{Store: s.Catalog, Partitions: s.partitions, Hasher: s.hasher(), MaxAge: s.cfg.MaxStale}
}

// Service is the domain on this store, which was opened with its keys.
func (s *Store) Service() *chat.Service { return s.service }

// Ready reports whether the store can serve: every partition can be asked for news, and
// keys can be had.
func (s *Store) Ready(ctx context.Context) error {
	for _, p := range s.partitions {
		if err := p.Probe(ctx); err != nil {
			return fmt.Errorf("partition %d: %w", p.Number, err)
		}
	}
	return s.keysReady(ctx)
}

// damage says what was found damaged since the store was opened, or is nil.
func (s *Store) damage() error {
	var errs []error
	for _, p := range s.partitions {
		errs = append(errs, p.Damage())
	}
	return errors.Join(errs...)
}

// Close commits what waits, takes a last checkpoint so that the next start replays
// nothing, and closes the store.
func (s *Store) Close(ctx context.Context) error {
	var errs []error
	if s.purges != nil {
		s.purges.Close()
	}
	if s.writers != nil {
		s.janitor.Close()
		if s.jobs != nil {
			s.jobs.Close()
		}
		s.writers.Close()
		for _, c := range s.compactors {
			errs = append(errs, c.Close(ctx))
		}
	}
	if s.sealing != nil {
		s.sealing.keys.Close()
	}
	errs = append(errs, s.closePartitions())
	if s.work != nil {
		errs = append(errs, s.work.remove())
	}
	return errors.Join(append(errs, s.closer())...)
}

// endTraces exports what is left to export. A collector that does not answer is no
// failure of the store's.
func (s *Store) endTraces() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.tracer.Close(ctx); err != nil {
		s.log.Warn("traces were lost", slog.Any("cause", err))
	}
}

// ErrForeignFolder: the folder holds something that is not a store.
var ErrForeignFolder = errors.New("the folder holds something else")

// InitStore makes a store where there is none. It reports whether it made one.
func InitStore(ctx context.Context, cfg Config) (created bool, err error) {
	if err := checkFolder(cfg); err != nil {
		return false, err
	}
	bucket, closer, err := openBucket(ctx, cfg)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, closer()) }()
	if err := confirm(ctx, bucket, cfg); !errors.Is(err, catalog.ErrNoStore) {
		return false, err
	}
	if err := checkPromises(ctx, cfg); err != nil {
		return false, err
	}
	s, err := catalog.New(cfg.partitions())
	if err != nil {
		return false, err
	}
	if err := catalog.Claim(ctx, bucket, s); errors.Is(err, blob.ErrExists) {
		return false, confirm(ctx, bucket, cfg)
	} else if err != nil {
		return false, err
	}
	for p := range s.Partitions() {
		opts := partition.Options{Bucket: bucket, Store: s, Branch: s.Branch, Number: p, Now: time.Now, Release: Version}
		if err := partition.Create(ctx, opts); err != nil && !errors.Is(err, blob.ErrExists) {
			return false, err
		}
	}
	if err := makeKeys(ctx, bucket, cfg, s); err != nil {
		return false, err
	}
	// The store exists from here on. Of several processes that get here one wins.
	if err := catalog.Create(ctx, bucket, s); err != nil {
		if errors.Is(err, blob.ErrExists) {
			return false, confirm(ctx, bucket, cfg)
		}
		return false, err
	}
	return true, nil
}

// ErrPartitions: the store has another number of partitions than it was to have.
var ErrPartitions = errors.New("another number of partitions")

// confirm reports whether there is a store, and it is as it was asked for.
func confirm(ctx context.Context, bucket blob.Bucket, cfg Config) error {
	s, err := catalog.Read(ctx, bucket)
	if err != nil {
		return err
	}
	if has := s.Partitions(); cfg.Partitions != 0 && cfg.Partitions != has {
		return fmt.Errorf("the store has %d, --partitions says %d: %w", has, cfg.Partitions, ErrPartitions)
	}
	_, err = catalog.ReadRoots(ctx, bucket, s)
	return err
}

// checkFolder makes the folder when it is missing, and refuses one that holds what no
// store does.
func checkFolder(cfg Config) error {
	dir := cfg.folder()
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	return findForeign(dir)
}

// findForeign refuses a folder without a store that holds what no store does.
func findForeign(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("look into folder: %w", err)
	}
	var foreign string
	for _, e := range entries {
		switch name := e.Name(); {
		case name == catalog.StoreKey, name == "tables", name == "janitor":
			return nil // whether it is whole is for catalog.Read to say
		case strings.HasPrefix(name, "."), name == catalog.RootsKey, name == "branches", name == "keys", name == "lost+found":
		default:
			foreign = name
		}
	}
	if foreign != "" {
		return fmt.Errorf("%s: %w, %s for one", dir, ErrForeignFolder, foreign)
	}
	return nil
}
