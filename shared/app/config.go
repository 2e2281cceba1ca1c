package app

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/httpapi"
	"github.com/bobbindb/bobbin/shared/telemetry"
)

// Config is everything that a process is told from outside.
type Config struct {
	Bucket     string // "file://" and an absolute path, or "s3://", a bucket's name and perhaps a prefix
	S3Endpoint string // of a service that is not Amazon's
	S3Path     bool   // a bucket's name stands in the path
	Partitions int    // of a store that is made, and of one that is there; 0 for 1, and for as many as it has
	CacheDir   string // of open databases; "" for the store's own folder

	Keepers []KeeperRef // who holds the top key: the first wraps, any opens

	Window   time.Duration // how long every commit stays a restore point
	Grace    time.Duration // how long an unreached object waits to be deleted
	FloorAge time.Duration // how long a floor stands before commits below it go
	ProofAge time.Duration // how long a proof that the log ends is fresh
	MaxStale time.Duration // how old a stale read may be

	Retention  time.Duration // how long what is soft-deleted is kept
	PurgeEvery time.Duration // how often a server purges; 0 is never

	Addr        string
	MetricsAddr string // "" for no listener of its own
	TLSCert     string // file of the certificate; "" for plain HTTP
	TLSKey      string
	Drain       time.Duration
	MaxBody     int64 // bytes
	MaxConns    int   // clients that are connected at once; 0 for what the system's limit on files allows

	HeaderTimeout time.Duration // until a request's header is there
	ReadTimeout   time.Duration // until a whole request is
	WriteTimeout  time.Duration // from a request's header to the end of its answer
	IdleTimeout   time.Duration // between two requests of a connection

	Rate httpapi.Rate

	BackendKeys    []string
	FrontendKeys   []string
	AdminKeys      []string
	SigningKeys    []string
	RequireExpiry  bool // refuses signatures that never expire
	AllowedOrigins []string
	AllowedAddrs   []netip.Prefix

	Traces    telemetry.Collector // without a URL there are none
	LogLevel  slog.Level
	LogFormat telemetry.LogFormat
}

// Group is a set of options that some commands have and others have not.
type Group string

// The groups of options.
const (
	StoreOptions  Group = "store"  // where the store lies
	MakeOptions   Group = "make"   // how one is made
	KeyOptions    Group = "keys"   // who holds its top key
	TuningOptions Group = "tuning" // how an open one is kept
	PurgeOptions  Group = "purge"  // what is purged
	ServeOptions  Group = "serve"  // who is served, and where
	LogOptions    Group = "log"
)

// Groups are all of them.
var Groups = []Group{StoreOptions, KeyOptions, MakeOptions, TuningOptions, PurgeOptions, ServeOptions, LogOptions}

// envPrefix begins the name of every environment variable that is read.
const envPrefix = "BOBBIN_"

// option is one thing that a process can be told, by a flag or by the environment.
type option struct {
	group    Group
	name     string // of the flag
	kind     string // what stands for a value in the help
	fallback string
	usage    string
	read     func(c *Config, text string) error
}

var options = []option{
	{StoreOptions, "db", "DIR", "", "folder of the store; short for --bucket file:///DIR", readDB},
	{StoreOptions, "bucket", "URL", "", "bucket of the store: file:///DIR or s3://NAME/PREFIX", readBucket},
	{StoreOptions, "s3-endpoint", "URL", "", "S3-protocol service of an s3:// bucket (default: Amazon's)", func(c *Config, s string) error {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" {
			return errors.New("want http://HOST:PORT or https://HOST")
		}
		c.S3Endpoint = s
		return nil
	}},
	{StoreOptions, "s3-path-style", "BOOL", "false", "name the s3:// bucket in the path, not in the host name; most services but Amazon's want it", func(c *Config, s string) (err error) {
		if c.S3Path, err = strconv.ParseBool(s); err != nil {
			return errors.New("want true or false")
		}
		return nil
	}},
	{MakeOptions, "partitions", "N", "", "partitions of a store that is made; fixed from then on (default 1, on S3 16)", func(c *Config, s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > catalog.MaxPartitions {
			return fmt.Errorf("want 1 to %d", catalog.MaxPartitions)
		}
		c.Partitions = n
		return nil
	}},
	{KeyOptions, "keeper", "URL", "", "holder of the top key: awskms://KEY or file:///PATH; for a move the new one, a comma and the old one (default: the file .keeper.key in a store's folder)", readKeepers},
	{TuningOptions, "cache-dir", "DIR", "", "folder for open databases, on the file system of a store that is a folder (default: in that folder, for S3 in the folder for temporary files)", func(c *Config, s string) (err error) {
		c.CacheDir, err = absolute(s)
		return err
	}},
	{TuningOptions, "window", "DURATION", "", "how long every commit stays a restore point (default 24h, on S3 168h)", func(c *Config, s string) error {
		return readDuration(&c.Window, s, time.Second, 10*365*24*time.Hour)
	}},
	{TuningOptions, "grace", "DURATION", "", "how long an object that nothing reaches waits to be deleted (default 1h, on S3 24h)", func(c *Config, s string) error {
		return readDuration(&c.Grace, s, time.Second, 30*24*time.Hour)
	}},
	{TuningOptions, "floor-age", "DURATION", "1h", "how long the log's floor stands before commits below it are deleted", func(c *Config, s string) error {
		return readDuration(&c.FloorAge, s, time.Second, 30*24*time.Hour)
	}},
	{TuningOptions, "proof-age", "DURATION", "5m", "how long a proof that the log ends is fresh; at most half of --floor-age", func(c *Config, s string) error {
		return readDuration(&c.ProofAge, s, time.Millisecond, 5*time.Minute)
	}},
	{TuningOptions, "max-stale", "DURATION", "10s", "how old the answer to a stale read may be", func(c *Config, s string) error {
		return readDuration(&c.MaxStale, s, time.Millisecond, 24*time.Hour)
	}},
	{PurgeOptions, "retention", "DURATION", "720h", "how long what is deleted is kept before it is purged", func(c *Config, s string) error {
		return readDuration(&c.Retention, s, 0, 100*365*24*time.Hour)
	}},
	{ServeOptions, "purge-every", "DURATION", "5m", "how often what is due is purged; 0s for never", func(c *Config, s string) error {
		return readDuration(&c.PurgeEvery, s, 0, 30*24*time.Hour)
	}},
	{ServeOptions, "addr", "HOST:PORT", "127.0.0.1:8080", "where to listen; port 0 takes a free one", func(c *Config, s string) error {
		return readAddr(&c.Addr, s)
	}},
	{ServeOptions, "metrics-addr", "HOST:PORT", "", "where to answer GET /metrics without a key (default: nowhere)", func(c *Config, s string) error {
		return readAddr(&c.MetricsAddr, s)
	}},
	{ServeOptions, "tls-cert", "FILE", "", "certificate and its chain, in PEM, for HTTPS on --addr; read again when it changes (default: plain HTTP)", func(c *Config, s string) error {
		return readFile(&c.TLSCert, s)
	}},
	{ServeOptions, "tls-key", "FILE", "", "private key of --tls-cert, in PEM", func(c *Config, s string) error {
		return readFile(&c.TLSKey, s)
	}},
	{ServeOptions, "drain", "DURATION", "10s", "how long a stop waits for requests that are under way", func(c *Config, s string) error {
		return readDuration(&c.Drain, s, 0, 10*time.Minute)
	}},
	{ServeOptions, "max-body", "BYTES", "1048576", "largest body of a request", func(c *Config, s string) error {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 1 || n > httpapi.MaxBatchBody {
			return fmt.Errorf("want 1 to %d bytes", httpapi.MaxBatchBody)
		}
		c.MaxBody = n
		return nil
	}},
	{ServeOptions, "max-conns", "N", "0", "connections at once; 0 for half of the files that the process may open, at most 16384", func(c *Config, s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n > 1e6 {
			return errors.New("want 0 to 1000000 connections")
		}
		c.MaxConns = n
		return nil
	}},
	{ServeOptions, "header-timeout", "DURATION", "10s", "how long a request's header may take to arrive", func(c *Config, s string) error {
		return readDuration(&c.HeaderTimeout, s, 10*time.Millisecond, 10*time.Minute)
	}},
	{ServeOptions, "read-timeout", "DURATION", "1m", "how long a whole request may take to arrive", func(c *Config, s string) error {
		return readDuration(&c.ReadTimeout, s, 10*time.Millisecond, 24*time.Hour)
	}},
	{ServeOptions, "write-timeout", "DURATION", "2m", "how long an answer may take, from the request's header to its last byte", func(c *Config, s string) error {
		return readDuration(&c.WriteTimeout, s, 10*time.Millisecond, 24*time.Hour)
	}},
	{ServeOptions, "idle-timeout", "DURATION", "2m", "how long a connection may wait for its next request", func(c *Config, s string) error {
		return readDuration(&c.IdleTimeout, s, 10*time.Millisecond, 24*time.Hour)
	}},
	{ServeOptions, "rate", "N", "0", "requests per second of one user of one API key; 0 for no limit", func(c *Config, s string) error {
		n, err := strconv.ParseFloat(s, 64)
		if err != nil || !(n >= 0 && n <= 1e6) || n > 0 && n < 1e-3 {
			return errors.New("want 0, or 0.001 to 1000000 requests per second")
		}
		c.Rate.PerSecond = n
		return nil
	}},
	{ServeOptions, "burst", "N", "0", "requests at once before --rate holds; 0 for one second's", func(c *Config, s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n > 1e6 {
			return errors.New("want 0 to 1000000 requests")
		}
		c.Rate.Burst = n
		return nil
	}},
	{ServeOptions, "backend-keys", "KEYS", "", "API keys of back ends, separated by commas (default: one that is made)", func(c *Config, s string) error {
		return readKeys(&c.BackendKeys, s)
	}},
	{ServeOptions, "frontend-keys", "KEYS", "", "API keys of front ends (default: one that is made)", func(c *Config, s string) error {
		return readKeys(&c.FrontendKeys, s)
	}},
	{ServeOptions, "admin-keys", "KEYS", "", "API keys of operators (default: one that is made)", func(c *Config, s string) error {
		return readKeys(&c.AdminKeys, s)
	}},
	{ServeOptions, "signing-keys", "KEYS", "", "keys that sign users; the first signs, any verifies (default: one that is made)", func(c *Config, s string) error {
		return readKeys(&c.SigningKeys, s)
	}},
	{ServeOptions, "require-expiry", "BOOL", "false", "refuse signatures that never expire", func(c *Config, s string) (err error) {
		if c.RequireExpiry, err = strconv.ParseBool(s); err != nil {
			return errors.New("want true or false")
		}
		return nil
	}},
	{ServeOptions, "allowed-origins", "ORIGINS", "", "origins that browsers may call from, separated by commas; * for all", func(c *Config, s string) error {
		return readOrigins(&c.AllowedOrigins, s)
	}},
	{ServeOptions, "allowed-addrs", "PREFIXES", "", "IP addresses and prefixes that may connect, separated by commas (default: all)", func(c *Config, s string) error {
		return readPrefixes(&c.AllowedAddrs, s)
	}},
	{LogOptions, "log-level", "LEVEL", "info", "least level that is logged: debug, info, warn or error", func(c *Config, s string) error {
		if err := c.LogLevel.UnmarshalText([]byte(s)); err != nil {
			return errors.New("want debug, info, warn or error")
		}
		return nil
	}},
	{LogOptions, "log-format", "FORMAT", "text", "look of a log line: text or json", func(c *Config, s string) error {
		c.LogFormat = telemetry.LogFormat(s)
		if c.LogFormat != telemetry.LogText && c.LogFormat != telemetry.LogJSON {
			return errors.New("want text or json")
		}
		return nil
	}},
}

// AddFlags defines the flags of some groups. Whatever they are set to is taken as it is
// and only read by Load, so that everything wrong is said at once.
func AddFlags(set *pflag.FlagSet, groups ...Group) {
	for _, group := range groups {
		for _, o := range options {
			if o.group != group {
				continue
			}
			flag := set.VarPF(&text{value: o.fallback, kind: o.kind}, o.name, "", o.usage)
			if o.kind == "BOOL" {
				flag.NoOptDefVal = "true"
			}
		}
	}
}

// text is a flag whose value nobody has looked at.
type text struct{ value, kind string }

func (t *text) String() string     { return t.value }
func (t *text) Set(s string) error { t.value = s; return nil }
func (t *text) Type() string       { return t.kind }

// EnvName is the environment variable that stands for a flag.
func EnvName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Load reads the options whose flags are defined on set: from the flag if it was given,
// else from the environment, else the default. An empty variable counts as not set. The
// error names everything that is wrong.
func Load(set *pflag.FlagSet, lookup func(name string) (string, bool)) (Config, error) {
	var c Config
	var wrong []error
	misplaced := false // somebody said where the store lies, and it cannot lie there
	badKeeper := false
	dbByFlag := set.Changed("db") || set.Changed("bucket")
	for _, o := range options {
		flag := set.Lookup(o.name)
		if flag == nil {
			continue
		}
		value, source := flag.Value.String(), "--"+o.name
		if !flag.Changed && !(dbByFlag && (o.name == "db" || o.name == "bucket")) {
			if env, ok := lookup(EnvName(o.name)); ok && env != "" {
				value, source = env, EnvName(o.name)
			}
		}
		if value == "" && !flag.Changed {
			continue
		}
		if err := o.read(&c, value); err != nil {
			wrong = append(wrong, fmt.Errorf("%s%s: %w", source, o.shown(value), err))
			misplaced = misplaced || o.group == StoreOptions
			badKeeper = badKeeper || o.group == KeyOptions
		}
	}
	if set.Lookup("db") != nil && c.Bucket == "" && !misplaced {
		wrong = append(wrong, errors.New("--db: say where the store lies (or set BOBBIN_DB)"))
	}
	c.fillIn()
	if set.Lookup("addr") != nil {
		var err error
		if c.Traces, err = readTraces(lookup); err != nil {
			wrong = append(wrong, err)
		}
	}
	wrong = append(wrong, c.check(set)...)
	if set.Lookup("keeper") != nil {
		if err := c.checkKeepers(); err != nil && !badKeeper {
			wrong = append(wrong, err)
		}
	}
	return c, errors.Join(wrong...)
}

// fillIn sets what was left out and depends on where the store lies: on S3 a restore
// point costs little, and other processes may sleep for long.
func (c *Config) fillIn() {
	window, grace := 7*24*time.Hour, 24*time.Hour
	if c.folder() != "" {
		window, grace = 24*time.Hour, time.Hour
	}
	c.Window, c.Grace = cmp.Or(c.Window, window), cmp.Or(c.Grace, grace)
	if dir := c.folder(); dir != "" && len(c.Keepers) == 0 {
		c.Keepers = []KeeperRef{{File: filepath.Join(dir, keeperName)}}
	}
}

// shown is a bad value as an error may show it. Keys are not shown.
func (o *option) shown(value string) string {
	if o.kind == "KEYS" {
		return ""
	}
	return " " + strconv.Quote(value)
}

// check is what holds between options.
func (c *Config) check(set *pflag.FlagSet) (wrong []error) {
	if set.Changed("s3-endpoint") && c.Bucket != "" && !strings.HasPrefix(c.Bucket, s3Scheme) {
		wrong = append(wrong, errors.New("--s3-endpoint: without effect when the bucket is a folder"))
	}
	if set.Lookup("floor-age") != nil && c.FloorAge > 0 && 2*c.ProofAge > c.FloorAge {
		wrong = append(wrong, fmt.Errorf("--proof-age %s: more than half of --floor-age, which is %s", c.ProofAge, c.FloorAge))
	}
	if c.Rate.Burst > 0 && c.Rate.PerSecond == 0 {
		wrong = append(wrong, errors.New("--burst: without effect when --rate is 0"))
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		wrong = append(wrong, errors.New("--tls-cert, --tls-key: one goes with the other"))
	}
	roles := map[string]string{}
	for _, role := range []struct {
		flag string
		keys []string
	}{{"backend-keys", c.BackendKeys}, {"frontend-keys", c.FrontendKeys}, {"admin-keys", c.AdminKeys}} {
		for i, key := range role.keys {
			if other, ok := roles[key]; ok {
				wrong = append(wrong, fmt.Errorf("--%s: key %d is among --%s already", role.flag, i+1, other))
			}
			roles[key] = role.flag
		}
	}
	return wrong
}

func absolute(dir string) (string, error) {
	if strings.TrimSpace(dir) == "" {
		return "", errors.New("want a folder")
	}
	return filepath.Abs(dir)
}

func readFile(into *string, name string) (err error) {
	if strings.TrimSpace(name) == "" {
		return errors.New("want a file")
	}
	*into, err = filepath.Abs(name)
	return err
}

func readDB(c *Config, s string) error {
	if strings.Contains(s, "://") {
		return errors.New("want a folder; a URL goes to --bucket")
	}
	dir, err := absolute(s)
	if err != nil {
		return err
	}
	c.Bucket = folderScheme + dir
	return nil
}

const (
	folderScheme = "file://"
	s3Scheme     = "s3://"
)

func readBucket(c *Config, s string) error {
	if rest, ok := strings.CutPrefix(s, s3Scheme); ok {
		return readS3(c, rest)
	}
	path, ok := strings.CutPrefix(s, folderScheme)
	if !ok {
		return errors.New("want file:///DIR or s3://NAME/PREFIX")
	}
	if !filepath.IsAbs(path) { // what stands here in a URL is a host
		return errors.New("want an absolute path, file:///DIR; --db takes a relative one, too")
	}
	dir := filepath.Clean(path)
	if bucket := folderScheme + dir; c.Bucket == "" || c.Bucket == bucket {
		c.Bucket = bucket
		return nil
	}
	return errors.New("--db names another folder")
}

// readS3 reads a bucket's name and the prefix of its keys.
func readS3(c *Config, s string) error {
	name, prefix, _ := strings.Cut(strings.TrimSuffix(s, "/"), "/")
	if len(name) < 3 || strings.ContainsAny(name, " ?#@:") {
		return errors.New("want s3://NAME/PREFIX")
	}
	if prefix != "" {
		if err := blob.CheckKey(prefix); err != nil {
			return err
		}
	}
	if c.Bucket != "" {
		return errors.New("--db names another bucket")
	}
	c.Bucket = s3Scheme + strings.TrimSuffix(s, "/")
	return nil
}

func readDuration(into *time.Duration, s string, least, most time.Duration) error {
	d, err := parseDuration(s)
	if err != nil || d < least || d > most {
		return fmt.Errorf("want a duration from %s to %s, like 90s, 24h or 7d", showDuration(least), showDuration(most))
	}
	*into = d
	return nil
}

const day = 24 * time.Hour

// parseDuration reads a duration as Go writes it, or a number of whole days: 7d.
func parseDuration(s string) (time.Duration, error) {
	number, ok := strings.CutSuffix(s, "d")
	if !ok {
		return time.ParseDuration(s)
	}
	days, err := strconv.ParseUint(number, 10, 16)
	return time.Duration(days) * day, err
}

// showDuration writes a duration in days where they are whole, and else without units at
// its end that are zero.
func showDuration(d time.Duration) string {
	switch {
	case d >= day && d%day == 0:
		return strconv.FormatInt(int64(d/day), 10) + "d"
	case d >= time.Hour && d%time.Hour == 0:
		return strings.TrimSuffix(d.String(), "0m0s")
	case d >= time.Minute && d%time.Minute == 0:
		return strings.TrimSuffix(d.String(), "0s")
	}
	return d.String()
}

func readAddr(into *string, s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return errors.New("want HOST:PORT")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return errors.New("want a port from 0 to 65535")
	}
	if strings.ContainsAny(host, " /") {
		return errors.New("want HOST:PORT")
	}
	*into = s
	return nil
}

// readKeys reads keys without ever showing one.
func readKeys(into *[]string, s string) error {
	var keys []string
	seen := map[string]bool{}
	for i, key := range strings.Split(s, ",") {
		key = strings.TrimSpace(key)
		switch {
		case key == "":
			return fmt.Errorf("key %d is empty", i+1)
		case strings.IndexFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0:
			return fmt.Errorf("key %d has characters other than visible ASCII", i+1)
		case seen[key]:
			return fmt.Errorf("key %d is there twice", i+1)
		}
		seen[key] = true
		keys = append(keys, key)
	}
	*into = keys
	return nil
}

func readOrigins(into *[]string, s string) error {
	var origins []string
	for origin := range strings.SplitSeq(s, ",") {
		origin = strings.TrimSpace(origin)
		u, err := url.Parse(origin)
		if origin != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != origin) {
			return fmt.Errorf("%q is no origin like https://app.example", origin)
		}
		origins = append(origins, origin)
	}
	*into = origins
	return nil
}

func readPrefixes(into *[]netip.Prefix, s string) error {
	var prefixes []netip.Prefix
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		prefix, err := netip.ParsePrefix(part)
		if err != nil {
			addr, err := netip.ParseAddr(part)
			if err != nil {
				return fmt.Errorf("%q is neither an IP address nor a prefix like 10.0.0.0/8", part)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		prefixes = append(prefixes, prefix.Masked())
	}
	*into = prefixes
	return nil
}

// maxConns is how many connections are served at once. By default the store keeps half
// of the files that the process may open.
func (c *Config) maxConns() int {
	if c.MaxConns > 0 {
		return c.MaxConns
	}
	return int(max(1, min(maxOpenFiles()/2, 16<<10)))
}

// folder is the store's folder; "" when it lies elsewhere.
func (c *Config) folder() string {
	dir, ok := strings.CutPrefix(c.Bucket, folderScheme)
	if !ok {
		return ""
	}
	return dir
}
