package httpapi

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/bobbindb/bobbin/shared/chat"
)

// asUser makes a route read as the owner that the path names, in the tenant of the key.
func asUser(handle func(*API, *exchange) error) func(*API, *exchange) error {
	return func(a *API, x *exchange) error {
		x.user = x.r.PathValue("user")
		return handle(a, x)
	}
}

// inspector is what shows the whole store, all tenants of it: never to the key of one.
func (a *API) inspector(x *exchange) (chat.Inspector, error) {
	switch {
	case a.Admin.Inspector == nil:
		return nil, errNotFound
	case x.grant.Tenant != "":
		return nil, errForbidden
	}
	return a.Admin.Inspector, nil
}

// showStatus says how the store is, in the words of whoever wired it.
func (a *API) showStatus(x *exchange) error {
	if a.Admin.Status == nil {
		return errNotFound
	}
	status, err := a.Admin.Status(x.r.Context())
	if err != nil {
		return errNotReady.Because(err)
	}
	text, err := json.Marshal(status)
	if err != nil {
		return err
	}
	x.out = append(x.out[:0], text...)
	x.answer(http.StatusOK)
	return nil
}

// showStats counts the store.
func (a *API) showStats(x *exchange) error {
	in, err := a.inspector(x)
	if err != nil {
		return err
	}
	stats, pos, err := in.Stats(x.r.Context())
	x.at(pos)
	if err != nil {
		return err
	}
	x.out = appendStats(x.out[:0], &stats)
	x.answer(http.StatusOK)
	return nil
}

// listUsers lists the owners of threads.
func (a *API) listUsers(x *exchange) error {
	in, err := a.inspector(x)
	if err != nil {
		return err
	}
	cursor, err := x.cursor()
	if err != nil {
		return err
	}
	page, pos, err := in.Users(x.r.Context(), cursor)
	x.at(pos)
	if err != nil {
		return err
	}
	x.out = appendUserPage(x.out[:0], &page)
	x.answerList()
	return nil
}

// listKeys lists what a partition's database holds, without any value.
func (a *API) listKeys(x *exchange) error {
	in, err := a.inspector(x)
	if err != nil {
		return err
	}
	q, err := x.keyQuery()
	if err != nil {
		return err
	}
	page, pos, err := in.Keys(x.r.Context(), q)
	x.at(pos)
	if err != nil {
		return err
	}
	x.out = appendKeyPage(x.out[:0], q.Partition, &page)
	x.answerList()
	return nil
}

func (x *exchange) keyQuery() (q chat.KeyQuery, err error) {
	if q.Cursor, err = x.cursor(); err != nil {
		return q, err
	}
	if q.Partition, err = x.partition(); err != nil {
		return q, err
	}
	if q.Prefix, err = hex.DecodeString(x.param("prefix")); err != nil {
		return q, fieldError("prefix", "must be hex")
	}
	return q, nil
}

// partition is the partition that the query names, 0 when it names none.
func (x *exchange) partition() (int, error) {
	if !x.has("partition") {
		return 0, nil
	}
	n, err := strconv.ParseUint(x.param("partition"), 10, 16)
	if err != nil {
		return 0, fieldError("partition", "must be a number")
	}
	return int(n), nil
}

// showKey describes one entry of a partition's database.
func (a *API) showKey(x *exchange) error {
	in, err := a.inspector(x)
	if err != nil {
		return err
	}
	key, err := hex.DecodeString(x.r.PathValue("key"))
	if err != nil {
		return errNotFound
	}
	partition, err := x.partition()
	if err != nil {
		return err
	}
	stored, pos, err := in.Key(x.r.Context(), partition, key)
	x.at(pos)
	if err != nil {
		return err
	}
	x.out = appendInt(append(x.out[:0], '{'), "partition", int64(partition))
	x.out = append(appendStoredKey(append(appendName(x.out, "entry"), '{'), &stored), "}}"...)
	x.answer(http.StatusOK)
	return nil
}

// encryptThreads answers for a store that never had anything to encrypt later.
func (a *API) encryptThreads(x *exchange) error {
	x.out = append(x.out[:0], `{"encrypted":0}`...)
	x.answer(http.StatusOK)
	return nil
}

func appendStats(b []byte, s *chat.Stats) []byte {
	b = appendInt(append(b, '{'), "threads", int64(s.Threads))
	b = appendInt(b, "messages", int64(s.Messages))
	b = appendInt(b, "users", int64(s.Users))
	b = append(appendName(b, "partitions"), '[')
	for i, p := range s.Partitions {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendInt(append(b, '{'), "partition", int64(p.Partition))
		b = appendInt(b, "seq", int64(p.Seq))
		b = appendInt(b, "threads", int64(p.Threads))
		b = appendInt(b, "deleted_threads", int64(p.DeletedThreads))
		b = appendInt(b, "messages", int64(p.Messages))
		b = appendInt(b, "deleted_messages", int64(p.DeletedMessages))
		b = append(appendInt(b, "users", int64(p.Users)), '}')
	}
	return append(b, "]}"...)
}

// hexKey is a key as an operator sees it.
type hexKey []byte

// AppendTo appends the key in hex.
func (k hexKey) AppendTo(b []byte) []byte { return hex.AppendEncode(b, k) }

func appendUserPage(b []byte, page *chat.UserPage) []byte {
	b = append(b, `{"users":[`...)
	var first, last hexKey
	for i := range page.Users {
		u := &page.Users[i]
		if last = u.Key[:]; i == 0 {
			first = last
		} else {
			b = append(b, ',')
		}
		b = appendKey(append(b, '{'), "key", last)
		b = appendText(b, "user", u.Owner.User)
		b = appendOptionalText(b, "tenant", u.Owner.Tenant)
		b = appendInt(b, "created_ts", u.Created)
		b = appendInt(b, "threads", int64(u.Threads))
		b = append(appendInt(b, "deleted_threads", int64(u.Deleted)), '}')
	}
	b = append(b, ']')
	return append(appendPage(b, page.Page, len(page.Users), first, last), '}')
}

// appendKeyPage appends a page of entries. Nobody counts those, so it has no total.
func appendKeyPage(b []byte, partition int, page *chat.KeyPage) []byte {
	b = append(appendName(appendInt(append(b, '{'), "partition", int64(partition)), "keys"), '[')
	var first, last hexKey
	for i := range page.Keys {
		if last = page.Keys[i].Key; i == 0 {
			first = last
		} else {
			b = append(b, ',')
		}
		b = append(appendStoredKey(append(b, '{'), &page.Keys[i]), '}')
	}
	b = append(appendName(append(b, ']'), "pagination"), '{')
	b = appendKey(b, "before_anchor", first)
	b = appendKey(b, "after_anchor", last)
	b = appendBool(b, "has_before", page.HasBefore)
	b = appendBool(b, "has_after", page.HasAfter)
	return append(appendInt(b, "count", int64(len(page.Keys))), "}}"...)
}

func appendStoredKey(b []byte, k *chat.StoredKey) []byte {
	b = appendKey(b, "key", hexKey(k.Key))
	b = appendText(b, "kind", k.Kind)
	return appendInt(b, "size", int64(k.Size))
}
