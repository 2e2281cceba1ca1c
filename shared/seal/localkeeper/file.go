package localkeeper

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/bobbindb/bobbin/shared/keyfile"
)

var (
	// ErrExposed: others than the owner may read or write the key file.
	ErrExposed = errors.New("key file is open to others; make it mode 0600 and think about who read it")
	// ErrNotFile: a link, a folder or something else stands where the key file should.
	ErrNotFile = errors.New("key file is not a regular file")
)

// maxFile is more than any key file has, in bytes.
const maxFile = 64 << 10

// Open reads a key file. It returns fs.ErrNotExist where there is none, ErrExposed,
// ErrNotFile or ErrDamagedFile.
func Open(path string) (*Keeper, error) {
	content, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("open key file %s: %w", path, err)
	}
	k, err := Parse(content)
	if err != nil {
		return nil, fmt.Errorf("open key file %s: %w", path, err)
	}
	return k, nil
}

func read(path string) ([]byte, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, ErrNotFile
	}
	if exposed(info.Mode()) {
		return nil, fmt.Errorf("%w: mode %04o", ErrExposed, info.Mode().Perm())
	}
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(content) > maxFile {
		err = fmt.Errorf("%w: over %d bytes", ErrDamagedFile, maxFile)
	}
	return content, err
}

// Create makes a key file that is not there yet, readable by its owner only, and
// durable before Create returns. It returns fs.ErrExist where something has the name;
// of several processes that create at once, one does.
func Create(path string) (*Keeper, error) {
	content, err := newFile()
	if err != nil {
		return nil, err
	}
	k, err := Parse(content)
	if err != nil {
		return nil, err
	}
	if err := keyfile.Create(path, content); err != nil {
		return nil, fmt.Errorf("create key file %s: %w", path, err)
	}
	return k, nil
}

// OpenOrCreate opens a key file, and makes it where there is none.
func OpenOrCreate(path string) (*Keeper, error) {
	k, err := Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		k, err = Create(path)
	}
	if errors.Is(err, fs.ErrExist) {
		k, err = Open(path) // another process made it meanwhile
	}
	if err != nil {
		return nil, err
	}
	if err := keyfile.Settle(path); err != nil {
		return nil, fmt.Errorf("open key file: %w", err)
	}
	return k, nil
}
