package checkpoint

import (
	"container/list"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// Cache keeps chunks of tables in memory and, if it has a directory, on disk, where
// other processes and later ones find them. It is never in the way: whatever fails is
// a miss or is not kept. All methods may be called concurrently, and many FS may share
// one Cache.
type Cache struct {
	dir string
	max int64 // bytes on disk

	meter CacheMeter

	mu      sync.Mutex
	memory  lru
	disk    lru   // what is known to lie in dir; values are nil
	unread  bool  // whether dir has to be listed before the next eviction
	written int64 // bytes since dir was last listed
}

// CacheMeter hears of every chunk that somebody asked for.
type CacheMeter interface {
	CacheHit()  // it was in memory or on disk
	CacheMiss() // it was fetched
}

type noMeter struct{}

func (noMeter) CacheHit()  {}
func (noMeter) CacheMiss() {}

// CacheOptions says where a Cache lies and how much it holds.
type CacheOptions struct {
	Dir         string // "" for a cache in memory only
	MaxBytes    int64  // on disk; 0 means 512 MiB. Processes that share Dir pass it by a quarter at most, each
	MemoryBytes int64  // in memory; 0 means 64 MiB

	Meter CacheMeter // nil tells nobody
}

const (
	defaultDiskBytes   = 512 << 20
	defaultMemoryBytes = 64 << 20

	cacheFormat = 1
	cacheHeader = 5 // format and checksum
)

// OpenCache returns a cache. It reads and writes nothing yet.
func OpenCache(opts CacheOptions) *Cache {
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = defaultDiskBytes
	}
	if opts.MemoryBytes <= 0 {
		opts.MemoryBytes = defaultMemoryBytes
	}
	if opts.Meter == nil {
		opts.Meter = noMeter{}
	}
	return &Cache{
		meter:  opts.Meter,
		dir:    opts.Dir,
		max:    opts.MaxBytes,
		memory: newLRU(opts.MemoryBytes),
		disk:   newLRU(opts.MaxBytes),
		unread: true,
	}
}

// chunkID names a chunk. It is the same in every process, branch and database.
type chunkID struct {
	table string // Table.id
	n     int64  // counted from 0 in units of chunkSize
}

// fromMemory is the chunk, or nil. Nobody may change it.
func (c *Cache) fromMemory(id chunkID) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.memory.get(id)
}

// toMemory keeps a chunk in memory. Nobody may change data afterwards.
func (c *Cache) toMemory(id chunkID, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.memory.put(id, data, int64(len(data)))
}

// fromDisk reads a chunk that has size bytes, or returns nil. A file that does not
// hold the chunk is removed.
func (c *Cache) fromDisk(id chunkID, size int64) []byte {
	if c.dir == "" {
		return nil
	}
	body, err := os.ReadFile(c.path(id))
	if err != nil {
		return nil
	}
	if int64(len(body)) != size+cacheHeader || body[0] != cacheFormat ||
		binary.BigEndian.Uint32(body[1:]) != id.checksum(body[cacheHeader:]) {
		_ = os.Remove(c.path(id))
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.disk.put(id, nil, int64(len(body)))
	return body[cacheHeader:]
}

// toDisk writes a chunk and then removes what is over the bound.
func (c *Cache) toDisk(id chunkID, data []byte) {
	if c.dir == "" {
		return
	}
	body := make([]byte, cacheHeader, cacheHeader+len(data))
	body[0] = cacheFormat
	binary.BigEndian.PutUint32(body[1:], id.checksum(data))
	if err := c.write(c.path(id), append(body, data...)); err != nil {
		c.evict(c.makeRoom()) // The disk may be full.
		return
	}
	c.evict(c.kept(id, int64(len(data))+cacheHeader))
}

// write makes the file at path in one step.
func (c *Cache) write(path string, body []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, "new-*")
	if err != nil {
		return err
	}
	_, err = file.Write(body)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}

// kept notes a chunk that was written and returns those that have to go. Only what is
// on disk is noted, or a chunk let go before it was written would stay for ever.
func (c *Cache) kept(id chunkID, size int64) []chunkID {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written += size
	if c.unread || c.written > c.max/4 {
		c.list()
	}
	return c.disk.put(id, nil, size)
}

// makeRoom returns some chunks, the longest unused, that have to go.
func (c *Cache) makeRoom() []chunkID {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unread {
		c.list()
	}
	return c.disk.shrink(c.disk.bytes - c.disk.bytes/8)
}

// list learns of the files that other processes wrote. It does not ask for their
// sizes: few are smaller than a chunk. The caller holds mu.
func (c *Cache) list() {
	c.unread, c.written = false, 0
	tables, err := os.ReadDir(c.dir)
	if err != nil {
		return
	}
	for _, table := range tables {
		chunks, err := os.ReadDir(filepath.Join(c.dir, table.Name()))
		if err != nil {
			continue
		}
		for _, chunk := range chunks {
			n, err := strconv.ParseInt(chunk.Name(), 10, 64)
			if err != nil {
				continue
			}
			c.disk.putOldest(chunkID{table.Name(), n}, chunkSize+cacheHeader)
		}
	}
}

// evict removes chunks from disk, and directories that became empty.
func (c *Cache) evict(ids []chunkID) {
	for _, id := range ids {
		_ = os.Remove(c.path(id))
		_ = os.Remove(filepath.Dir(c.path(id)))
	}
}

func (c *Cache) path(id chunkID) string {
	return filepath.Join(c.dir, id.table, strconv.FormatInt(id.n, 10))
}

// checksum covers the name too, so that a file in the wrong place does not pass.
func (id chunkID) checksum(data []byte) uint32 {
	name := append([]byte(id.table), '/')
	sum := crc32.Checksum(strconv.AppendInt(name, id.n, 10), castagnoli)
	return crc32.Update(sum, castagnoli, data)
}

// lru holds chunks up to a number of bytes and lets go of those longest unused.
type lru struct {
	max, bytes int64
	items      map[chunkID]*list.Element
	order      *list.List // of *lruItem, latest first
}

type lruItem struct {
	id   chunkID
	data []byte
	size int64
}

func newLRU(max int64) lru {
	return lru{max: max, items: make(map[chunkID]*list.Element), order: list.New()}
}

func (l *lru) get(id chunkID) []byte {
	element := l.items[id]
	if element == nil {
		return nil
	}
	l.order.MoveToFront(element)
	return element.Value.(*lruItem).data
}

// put adds or renews an item as the latest, and returns those let go.
func (l *lru) put(id chunkID, data []byte, size int64) []chunkID {
	l.remove(id)
	l.items[id] = l.order.PushFront(&lruItem{id, data, size})
	l.bytes += size
	return l.shrink(l.max)
}

// putOldest adds an item that is not there as the first to go.
func (l *lru) putOldest(id chunkID, size int64) {
	if l.items[id] == nil {
		l.items[id] = l.order.PushBack(&lruItem{id: id, size: size})
		l.bytes += size
	}
}

// shrink lets items go until max bytes are left.
func (l *lru) shrink(max int64) (gone []chunkID) {
	for l.bytes > max && l.order.Len() > 0 {
		id := l.order.Back().Value.(*lruItem).id
		l.remove(id)
		gone = append(gone, id)
	}
	return gone
}

func (l *lru) remove(id chunkID) {
	element := l.items[id]
	if element == nil {
		return
	}
	l.bytes -= element.Value.(*lruItem).size
	l.order.Remove(element)
	delete(l.items, id)
}
