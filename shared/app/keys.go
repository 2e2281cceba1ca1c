package app

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/bobbindb/bobbin/shared/httpapi"
	"github.com/bobbindb/bobbin/shared/keyfile"
)

// Keys are those that a store's first start made, one of each kind. A kind for which
// the operator brings keys is empty.
type Keys struct {
	Backend  string `json:"backend_key"`
	Frontend string `json:"frontend_key"`
	Admin    string `json:"admin_key"`
	Signing  string `json:"signing_key"`
}

// keysName is where a store's folder keeps them. A name that begins with a dot is no
// object of the bucket.
const keysName = ".keys.json"

// loadKeys gives the configuration a key of every kind that the operator brought none
// for, made now or by an earlier start. It returns those, and whether they were made now.
func loadKeys(cfg *Config, log *slog.Logger) (used Keys, made bool, err error) {
	if len(cfg.BackendKeys) > 0 && len(cfg.FrontendKeys) > 0 && len(cfg.AdminKeys) > 0 && len(cfg.SigningKeys) > 0 {
		return Keys{}, false, nil
	}
	dir := cfg.folder()
	if dir == "" {
		return Keys{}, false, errors.New("a store that is no folder keeps no keys: give --backend-keys, --frontend-keys, --admin-keys and --signing-keys")
	}
	path := filepath.Join(dir, keysName)
	kept, made, err := readOrMakeKeys(path)
	if err != nil {
		return Keys{}, false, err
	}
	// No key is shown before its file is sure to outlive a crash.
	if err := keyfile.Settle(path); err != nil {
		return Keys{}, false, fmt.Errorf("keep keys: %w", err)
	}
	warnOfOpenKeys(path, log)
	for _, kind := range []struct {
		given *[]string
		kept  string
		used  *string
	}{
		{&cfg.BackendKeys, kept.Backend, &used.Backend},
		{&cfg.FrontendKeys, kept.Frontend, &used.Frontend},
		{&cfg.AdminKeys, kept.Admin, &used.Admin},
		{&cfg.SigningKeys, kept.Signing, &used.Signing},
	} {
		if len(*kind.given) == 0 {
			*kind.given, *kind.used = []string{kind.kept}, kind.kept
		}
	}
	return used, made, nil
}

// warnOfOpenKeys says that others may read the keys. They are used all the same: what
// mounts a volume for a group opens every file in it.
func warnOfOpenKeys(path string, log *slog.Logger) {
	if info, err := os.Stat(path); err == nil && isExposed(info.Mode()) {
		log.Warn("the keys can be read by others: make the file mode 0600, and think about who read it",
			"file", path, "mode", fmt.Sprintf("%04o", info.Mode().Perm()))
	}
}

// shortKey is the length in bytes below which a key can be guessed: 16 random bytes, or
// the 26 characters that stand for as many, cannot.
const shortKey = 16

// warnOfShortKeys names the keys that are short, by their place. They are not refused:
// a test and a machine of one's own may have them.
func warnOfShortKeys(cfg *Config, log *slog.Logger) {
	for _, kind := range []struct {
		flag string
		keys []string
	}{
		{"--backend-keys", cfg.BackendKeys},
		{"--frontend-keys", cfg.FrontendKeys},
		{"--admin-keys", cfg.AdminKeys},
		{"--signing-keys", cfg.SigningKeys},
	} {
		for i, key := range kind.keys {
			if len(key) < shortKey {
				log.Warn("a key is short enough to be guessed", "flag", kind.flag, "key", i+1, "bytes", len(key), "want", shortKey)
			}
		}
	}
}

func readOrMakeKeys(path string) (keys Keys, made bool, err error) {
	keys, err = readKeyFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return keys, false, err
	}
	fresh := Keys{
		Backend:  newKey("bk"),
		Frontend: newKey("fk"),
		Admin:    newKey("ak"),
		Signing:  newKey("sk"),
	}
	b, err := json.MarshalIndent(fresh, "", "  ")
	if err != nil {
		return Keys{}, false, fmt.Errorf("keep keys: %w", err)
	}
	err = keyfile.Create(path, append(b, '\n'))
	if made = err == nil; err != nil && !errors.Is(err, fs.ErrExist) {
		return Keys{}, false, fmt.Errorf("keep keys: %w", err)
	}
	keys, err = readKeyFile(path) // of several first starts at once, one made them
	return keys, made, err
}

// newKey is a random key of 130 bits; the prefix tells a reader what it is for.
func newKey(prefix string) string { return prefix + "_" + strings.ToLower(rand.Text()) }

func readKeyFile(path string) (Keys, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Keys{}, fmt.Errorf("read keys: %w", err)
	}
	var k Keys
	if err := json.Unmarshal(b, &k); err != nil {
		return Keys{}, fmt.Errorf("read keys: %s: %w; %s", path, err, newKeysCost)
	}
	if k.Backend == "" || k.Frontend == "" || k.Admin == "" || k.Signing == "" {
		return Keys{}, fmt.Errorf("read keys: %s: a key is missing; %s", path, newKeysCost)
	}
	return k, nil
}

// newKeysCost says what the way out of a broken file of keys costs.
const newKeysCost = "put it back from a copy, or remove it to have new keys made: those of before are then refused, and users whom they signed are logged out"

// access is who may call a store with this configuration.
func access(cfg *Config) *httpapi.Access {
	a := &httpapi.Access{Grants: map[httpapi.KeyHash]httpapi.Grant{}, RequireExpiry: cfg.RequireExpiry}
	for role, keys := range map[httpapi.Role][]string{
		httpapi.Backend:  cfg.BackendKeys,
		httpapi.Frontend: cfg.FrontendKeys,
		httpapi.Admin:    cfg.AdminKeys,
	} {
		for _, key := range keys {
			a.Grants[httpapi.HashKey(key)] = httpapi.Grant{Role: role}
		}
	}
	for _, key := range cfg.SigningKeys {
		a.Signing = append(a.Signing, []byte(key))
	}
	return a
}
