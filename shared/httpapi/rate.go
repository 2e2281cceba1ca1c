package httpapi

import (
	"container/list"
	"math"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/bobbindb/bobbin/shared/chat"
)

// Rate is how often one user of one API key may call. The zero value is as often as it
// likes.
type Rate struct {
	PerSecond float64
	Burst     int // calls at once; less than 1 means one second's, and at least 1
}

// maxBuckets is how many users' rates are kept at once. One that is idle long enough is
// full again, so that forgetting it changes nothing.
const maxBuckets = 1 << 16

// bucketID is whose rate is kept. The user is "" for requests that act for nobody, and
// for those whose claim to a user was refused: they spend what is the key's, not what is
// the user's.
type bucketID struct {
	key  KeyHash
	user string
}

type bucket struct {
	id bucketID
	*rate.Limiter
}

// limiter keeps a token bucket for each user of each API key, of those that called last.
type limiter struct {
	every rate.Limit
	burst int
	most  int

	mu     sync.Mutex
	byID   map[bucketID]*list.Element
	recent *list.List // of *bucket, who called last first
}

// newLimiter returns nil when nothing is limited.
func newLimiter(r Rate, most int) *limiter {
	if r.PerSecond <= 0 {
		return nil
	}
	burst := r.Burst
	if burst < 1 {
		burst = max(1, int(math.Ceil(r.PerSecond)))
	}
	return &limiter{rate.Limit(r.PerSecond), burst, most, sync.Mutex{}, make(map[bucketID]*list.Element), list.New()}
}

// take counts a call. When it comes too soon, the error says when to come again.
func (l *limiter) take(id bucketID, now time.Time) error {
	b := l.bucket(id)
	if b.AllowN(now, 1) {
		return nil
	}
	e := *errRateLimit
	e.Retry = time.Duration((1 - b.TokensAt(now)) / float64(l.every) * float64(time.Second))
	return &e
}

// bucket finds a user's bucket or begins a full one, in the place of the one that was
// idle longest if need be.
func (l *limiter) bucket(id bucketID) *bucket {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.byID[id]; ok {
		l.recent.MoveToFront(e)
		return e.Value.(*bucket)
	}
	if l.recent.Len() >= l.most {
		delete(l.byID, l.recent.Remove(l.recent.Back()).(*bucket).id)
	}
	id.user = strings.Clone(id.user) // a header's value holds on to its whole request
	b := &bucket{id, rate.NewLimiter(l.every, l.burst)}
	l.byID[id] = l.recent.PushFront(b)
	return b
}

// throttle counts a request whose key is known, and refuses it when it comes too soon,
// whatever else there is to refuse it for.
func (a *API) throttle(x *exchange, key KeyHash, refused error) error {
	if a.limiter == nil {
		return refused
	}
	id := bucketID{key: key}
	if refused == nil && len(x.user) <= chat.MaxUserID {
		id.user = x.user
	}
	if err := a.limiter.take(id, x.began); err != nil {
		return err
	}
	return refused
}
