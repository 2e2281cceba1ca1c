package engine_test

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/httpapi"
	"github.com/bobbindb/bobbin/test/engine"
	"github.com/bobbindb/bobbin/test/httpscript/contract"
)

var update = flag.Bool("update", false, "write golden files anew")

// The matrix of access: whoever may call, in every way that a caller can be named,
// asks every route for every kind of object.

// Users of the store.
const (
	owner    = "u1"
	other    = "u2" // has nothing
	stranger = "u3"
)

// What only the owner, and only the stranger, may read.
const (
	ownerText    = "TEXT-OF-THE-OWNER"
	strangerText = "TEXT-OF-A-STRANGER"
)

// caller is one way to call.
type caller struct{ role, form, signature, user string }

var (
	roles      = []string{"none", "unknown", "frontend", "backend", "admin"}
	forms      = []string{"Bearer", "bearer", "X-API-Key"}
	signatures = []string{"none", "wrong", "valid", "expired", "another's"}
	users      = []string{"owner", "other", "none", "too long", "?owner", "owner, ?other"}

	keys = map[string]string{"unknown": "no such key", "frontend": "front", "backend": "back", "admin": "admin"}
	long = strings.Repeat("u", 129)
)

// header is the user that the header names, query the one that ?author= does.
func (c caller) header() string {
	return map[string]string{"owner": owner, "other": other, "too long": long, "owner, ?other": owner}[c.user]
}

func (c caller) query() string {
	return map[string]string{"?owner": owner, "owner, ?other": other}[c.user]
}

// acts is the user for whom the caller acts if it is let in.
func (c caller) acts() string {
	if c.role == "backend" && c.header() == "" {
		return c.query()
	}
	return c.header()
}

func (c caller) sign() string {
	key, user := []byte("sign_example"), c.header()
	switch c.signature {
	case "wrong":
		return httpapi.Sign([]byte("nobody's key"), user)
	case "valid":
		return httpapi.Sign(key, user)
	case "expired":
		return httpapi.SignUntil(key, user, contract.Now())
	case "another's":
		return httpapi.Sign(key, stranger)
	}
	return ""
}

// object is what a path names: a thread, and a message as if in it. Each word is one of
// the world's.
type object struct{ thread, message string }

func (o object) String() string {
	if o.message == "" {
		return o.thread
	}
	return o.thread + "/" + o.message
}

var (
	ofThreads  = []object{{"own", ""}, {"foreign", ""}, {"unknown", ""}, {"deleted", ""}, {"malformed", ""}}
	ofMessages = []object{
		{"own", "own"}, {"own", "unknown"}, {"own", "deleted"}, {"own", "malformed"}, {"own", "elsewhere"}, {"own", "foreign"},
		{"foreign", "foreign"}, {"foreign", "unknown"}, {"unknown", "foreign"}, {"deleted", "dead"}, {"malformed", "own"},
	}
	ofKeys = []object{{"own", ""}, {"unknown", ""}, {"malformed", ""}}
	ofNone = []object{{"-", ""}}
)

// objectsOf is what a route can be asked for.
func objectsOf(r httpapi.Route) []object {
	switch {
	case strings.Contains(r.Path, "{message}"):
		return ofMessages
	case strings.Contains(r.Path, "{thread}"):
		return ofThreads
	case strings.Contains(strings.ReplaceAll(r.Path, "{user}", ""), "{"):
		return ofKeys
	}
	return ofNone
}

// world is a store with objects of every kind.
type world struct {
	api      *httpapi.API
	engine   *engine.Engine
	threads  map[string]string
	messages map[string]string
	key      string // of an entry of the database
	seq      uint64
}

func newWorld(t *testing.T) *world {
	t.Helper()
	bucket := memblob.New(time.Now)
	e := engine.New(t, bucket, 1)
	o := contract.Options(e.Service)
	o.Admin.Inspector = e.Service.Reader.(chat.Inspector)
	o.CompressFrom = -1 // so that texts would be seen
	w := &world{api: httpapi.New(o), engine: e}
	w.build(t)
	return w
}

// must sends a request of a user that must be taken, and returns the keys it answers.
func (w *world) must(t *testing.T, user, method, path, body string) (key string, keys []string) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr = "192.0.2.1:1"
	r.Header.Set("X-API-Key", "back")
	r.Header.Set("X-User-ID", user)
	got := serveOnce(w.api, r)
	var made struct {
		Key  string
		Keys []string
	}
	if err := json.Unmarshal(got.Body.Bytes(), &made); err != nil || got.Code >= 300 {
		t.Fatalf("%s %s: %d %s", method, path, got.Code, got.Body)
	}
	return made.Key, made.Keys
}

func serveOnce(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const threadsPath = "/frontend/v1/threads"

// build makes the objects anew.
func (w *world) build(t *testing.T) {
	t.Helper()
	make := func(user, text string) (string, []string) {
		return w.must(t, user, "POST", threadsPath, fmt.Sprintf(`{"title":%q,"messages":[{"body":%q},{"body":%q}]}`, text, text, text))
	}
	w.threads, w.messages = map[string]string{}, map[string]string{}
	own, messages := make(owner, ownerText)
	w.threads["own"], w.messages["own"], w.messages["deleted"] = own, messages[0], messages[1]
	w.must(t, owner, "PUT", messagePath(own, messages[0]), fmt.Sprintf(`{"body":"edited %s"}`, ownerText))
	w.must(t, owner, "DELETE", messagePath(own, messages[1]), "")
	_, messages = make(owner, ownerText)
	w.messages["elsewhere"] = messages[0]
	dead, messages := make(owner, ownerText)
	w.threads["deleted"], w.messages["dead"] = dead, messages[0]
	w.must(t, owner, "DELETE", threadPath(dead), "")
	foreign, messages := make(stranger, strangerText)
	w.threads["foreign"], w.messages["foreign"] = foreign, messages[0]
	w.threads["unknown"] = "t:1" + strings.Repeat("0", 17) + foreign[len(foreign)-6:]
	w.messages["unknown"] = own + ":m:" + "1" + strings.Repeat("0", 18) + ":000000009"
	w.threads["malformed"], w.messages["malformed"] = "t:12", own+":m:12"
	if w.key == "" {
		got := w.ask(t, caller{role: "admin", form: "Bearer"}, httpapi.Route{Method: "GET", Path: "/admin/keys"}, object{}, variant{})
		var page struct{ Keys []struct{ Key string } }
		if err := json.Unmarshal(got.Body.Bytes(), &page); err != nil || len(page.Keys) == 0 {
			t.Fatalf("keys: %v, %s", err, got.Body)
		}
		w.key = page.Keys[0].Key
	}
	// Who is refused for what is written may have a key made first, which is a commit.
	if err := w.engine.Service.Sealer.Warm(t.Context(), chat.Owner{User: other}); err != nil {
		t.Fatal(err)
	}
	w.seq = w.now()
}

func (w *world) now() uint64 { return uint64(w.engine.Partitions[0].Position().Seq) }

func threadPath(thread string) string { return threadsPath + "/" + url.PathEscape(thread) }

func messagePath(thread, message string) string {
	return threadPath(thread) + "/messages/" + url.PathEscape(message)
}

var parameter = regexp.MustCompile(`\{(\w+)\}`)

// path is where a route has an object.
func (w *world) path(r httpapi.Route, o object) string {
	return parameter.ReplaceAllStringFunc(r.Path, func(p string) string {
		switch p {
		case "{thread}":
			return url.PathEscape(w.threads[o.thread])
		case "{message}":
			return url.PathEscape(w.messages[o.message])
		case "{user}":
			return owner
		}
		return map[string]string{"own": w.key, "unknown": hex.EncodeToString([]byte("no such key")), "malformed": "zz"}[o.thread]
	})
}

// variant is what else a request may say.
type variant struct{ header, value, query, body string }

// payload is taken by every route that reads one.
const payload = `{"title":"new","body":"new","userId":"u1","messages":[{"body":"new","author":"u1","created_ts":1}],` +
	`"thread":{"id":"imported","author":"u1","title":"new","created_ts":1}}`

// ask has a caller ask a route for an object.
func (w *world) ask(t *testing.T, c caller, route httpapi.Route, o object, v variant) *httptest.ResponseRecorder {
	t.Helper()
	body := payload
	if v.body != "" {
		body = v.body
	}
	r := httptest.NewRequest(route.Method, w.path(route, o), strings.NewReader(body))
	r.RemoteAddr = "192.0.2.1:1"
	query := url.Values{}
	if author := c.query(); author != "" {
		query.Set("author", author)
	}
	r.URL.RawQuery = strings.Trim(query.Encode()+"&"+v.query, "&")
	if key := keys[c.role]; key != "" && c.form == "X-API-Key" {
		r.Header.Set("X-API-Key", key)
	} else if key != "" {
		r.Header.Set("Authorization", c.form+" "+key)
	}
	for name, value := range map[string]string{"X-User-ID": c.header(), "X-User-Signature": c.sign(), v.header: v.value} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	return serveOnce(w.api, r)
}

// verdict is what the contract says about a call: let in, or refused with a status and
// a code.
type verdict struct {
	in   bool
	code string
}

func refused(status int, code string) verdict { return verdict{code: fmt.Sprint(status, " ", code)} }

// judge says what the contract has for a call, in its order of checks.
func judge(c caller, r httpapi.Route, o object) verdict {
	first := strings.Split(r.Path, "/")[1]
	if first == "metrics" {
		first = "admin"
	}
	switch first {
	case "healthz", "readyz", "openapi.yaml":
		return verdict{in: true}
	}
	mayEnter := map[string][]string{"frontend": {"frontend", "backend"}, "backend": {"backend"}, "admin": {"admin"}}
	switch {
	case c.role == "none" || c.role == "unknown":
		return refused(401, "unauthorized")
	case !slices.Contains(mayEnter[first], c.role):
		return refused(403, "forbidden")
	}
	if c.role == "frontend" {
		switch {
		case c.signature == "none":
			return refused(401, "signature_required")
		case c.header() == "":
			return refused(401, "missing_user")
		case c.signature == "expired":
			return refused(401, "signature_expired")
		case c.signature != "valid":
			return refused(401, "invalid_signature")
		case c.query() != "" && c.query() != c.header():
			return refused(403, "author_mismatch")
		}
	}
	switch {
	case strings.HasPrefix(r.Name, "("):
		return refused(404, "not_found")
	case first == "frontend":
		return judgeUser(c, r, o)
	case first == "admin":
		return judgeObject(owner, r, o)
	}
	return verdict{in: true}
}

// judgeUser goes on where the key and the signature are good.
func judgeUser(c caller, r httpapi.Route, o object) verdict {
	switch {
	case o.thread == "malformed":
		return refused(404, "thread_not_found")
	case o.message == "malformed":
		return refused(404, "message_not_found")
	case c.acts() == "":
		return refused(400, "author_required")
	case len(c.acts()) > 128:
		return refused(400, "author_too_long")
	}
	return judgeObject(c.acts(), r, o)
}

// judgeObject goes on where the user is good.
func judgeObject(user string, r httpapi.Route, o object) verdict {
	if !strings.Contains(r.Path, "{thread}") {
		if o.thread == "unknown" || o.thread == "malformed" {
			return refused(404, "not_found")
		}
		return verdict{in: true}
	}
	undeletes := strings.HasPrefix(r.Name, "undelete-")
	mine := user == owner && (o.thread == "own" || o.thread == "deleted")
	switch {
	case o.thread == "malformed":
		return refused(404, "thread_not_found")
	case o.message == "malformed":
		return refused(404, "message_not_found")
	case !mine && r.Name == "undelete-thread": // as if purged
		return refused(404, "thread_not_found")
	case !mine:
		return refused(403, "access_denied")
	case o.thread == "deleted" && r.Name != "undelete-thread":
		return refused(404, "thread_not_found")
	case o.message == "unknown", o.message == "deleted" && !undeletes:
		return refused(404, "message_not_found")
	case o.message == "elsewhere", o.message == "foreign":
		return refused(404, "message_not_in_thread")
	}
	return verdict{in: true}
}

// codeOf is a status, and the code of an error.
func codeOf(got *httptest.ResponseRecorder) string {
	var e struct{ Code string }
	json.Unmarshal(got.Body.Bytes(), &e) // "" for what is no error
	return strings.TrimSpace(fmt.Sprint(got.Code, " ", e.Code))
}

// routes is every route, and places where there is none.
func routes() []httpapi.Route {
	return append(slices.Clone(httpapi.Routes),
		httpapi.Route{Name: "(nowhere)", Method: "GET", Path: "/nowhere"},
		httpapi.Route{Name: "(nowhere for users)", Method: "GET", Path: "/frontend/v1/nowhere"},
		httpapi.Route{Name: "(nowhere for back ends)", Method: "GET", Path: "/backend/v1/nowhere"},
		httpapi.Route{Name: "(nowhere for admins)", Method: "GET", Path: "/admin/nowhere"})
}

// check holds one answer to what the contract has for the call.
func (w *world) check(t *testing.T, c caller, r httpapi.Route, o object, got *httptest.ResponseRecorder) {
	t.Helper()
	where := fmt.Sprintf("%+v %s of %s", c, r.Name, o)
	want, code := judge(c, r, o), codeOf(got)
	switch {
	case !want.in && code != want.code:
		t.Errorf("%s: %s, want %s", where, code, want.code)
	case want.in && strings.HasPrefix(r.Path, "/frontend/v1/threads") && got.Code >= 300:
		t.Errorf("%s: %s, want it let in: %s", where, code, got.Body)
	case want.in && (got.Code == 401 || got.Code == 403 || got.Code >= 500 && got.Code != 503):
		t.Errorf("%s: %s, want it let in: %s", where, code, got.Body)
	}
	said := fmt.Sprint(got.Header(), got.Body)
	if strings.Contains(said, strangerText) {
		t.Errorf("%s shows what is a stranger's: %s", where, said)
	}
	if strings.Contains(said, ownerText) && (!want.in || c.acts() != owner && c.role != "admin") {
		t.Errorf("%s shows what is the owner's: %s", where, said)
	}
	if w.now() == w.seq {
		return
	}
	if !want.in || r.Method == http.MethodGet {
		t.Errorf("%s: %s, and it changed the store", where, code)
	}
	w.build(t)
}

// TestAccess asks everything as everybody, and keeps who got what in a table.
func TestAccess(t *testing.T) {
	w := newWorld(t)
	tables := map[string][]string{} // of a text to its routes
	asked := 0
	for _, r := range routes() {
		answers := map[caller]string{}
		for _, c := range callers() {
			var row []string
			for _, o := range objectsOf(r) {
				got := w.ask(t, c, r, o, variant{})
				asked++
				w.check(t, c, r, o, got)
				row = append(row, codeOf(got))
			}
			answers[c] = strings.Join(row, "\t")
		}
		text := table(t, r, answers)
		tables[text] = append(tables[text], fmt.Sprintf("%s: %s %s", r.Name, r.Method, r.Path))
	}
	t.Logf("%d requests", asked)
	golden(t, tables)
}

func callers() (all []caller) {
	for _, role := range roles {
		for _, signature := range signatures {
			for _, user := range users {
				for _, form := range forms {
					all = append(all, caller{role, form, signature, user})
				}
			}
		}
	}
	return all
}

// table shows who got what from a route. Where a signature or a user makes no
// difference there is a star; the form of the key must make none.
func table(t *testing.T, r httpapi.Route, answers map[caller]string) string {
	t.Helper()
	rows := [][]string{{"key", "signature", "user"}}
	for _, o := range objectsOf(r) {
		rows[0] = append(rows[0], o.String())
	}
	add := func(c caller, signature, user string) {
		rows = append(rows, append([]string{c.role, signature, user}, strings.Split(answers[c], "\t")...))
	}
	for _, role := range roles {
		at := func(signature, user string) caller { return caller{role, forms[0], signature, user} }
		bySignature, byUser := false, false
		for c, answer := range answers {
			if c.role != role {
				continue
			}
			if answer != answers[at(c.signature, c.user)] {
				t.Errorf("%s: %+v got %s, and %s with the key in another form", r.Name, c, answer, answers[at(c.signature, c.user)])
			}
			bySignature = bySignature || answer != answers[at(signatures[0], c.user)]
			byUser = byUser || answer != answers[at(c.signature, users[0])]
		}
		for i, signature := range signatures {
			if i > 0 && !bySignature {
				continue
			}
			differs := slices.ContainsFunc(users, func(u string) bool { return answers[at(signature, u)] != answers[at(signature, users[0])] })
			for j, user := range users {
				if j > 0 && !differs {
					continue
				}
				add(at(signature, user), star(signature, bySignature), star(user, byUser && differs))
			}
		}
	}
	return columns(rows)
}

func star(text string, differs bool) string {
	if differs {
		return text
	}
	return "*"
}

func columns(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			fmt.Fprintf(&line, "%-*s  ", widths[i], cell)
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}

// golden compares the tables with those that were looked at.
func golden(t *testing.T, tables map[string][]string) {
	t.Helper()
	var b strings.Builder
	b.WriteString("# Who gets what from which route: a status, and the code of an error. A star stands for\n" +
		"# whatever it is. Objects are a thread, or a thread and a message. Written by\n" +
		"#   go test ./test/engine -run TestAccess -update\n")
	sections := slices.SortedFunc(maps.Keys(tables), func(x, y string) int {
		return strings.Compare(tables[x][0], tables[y][0])
	})
	for _, text := range sections {
		fmt.Fprintf(&b, "\n%s\n\n%s", strings.Join(tables[text], "\n"), text)
	}
	file := filepath.Join("testdata", "access.txt")
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != b.String() {
		t.Errorf("access is not what %s says; look at what changed and run with -update:\n%s", file, differing(string(want), b.String()))
	}
}

// differing is the lines that one text has and the other has not.
func differing(want, got string) string {
	var b strings.Builder
	has := func(text, line string) bool { return strings.Contains("\n"+text, "\n"+line) }
	for line := range strings.Lines(want) {
		if !has(got, line) {
			b.WriteString("- " + line)
		}
	}
	for line := range strings.Lines(got) {
		if !has(want, line) {
			b.WriteString("+ " + line)
		}
	}
	return b.String()
}

var durations = regexp.MustCompile(`dur=[0-9.]+`)

// whole is everything that a caller is told, less how long it took.
func whole(got *httptest.ResponseRecorder) string {
	var b strings.Builder
	fmt.Fprintln(&b, got.Code)
	got.Header().Write(&b)
	return durations.ReplaceAllString(b.String(), "dur=") + got.Body.String()
}

// Nobody can tell what is somebody else's from what was never there, whatever else the
// request says.
func TestForeignIsUnknown(t *testing.T) {
	w := newWorld(t)
	id := w.threads["foreign"]
	variants := map[string]variant{
		"plain":             {},
		"If-Match":          {header: "If-Match", value: `"9"`},
		"If-Match, any":     {header: "If-Match", value: "*"},
		"If-None-Match":     {header: "If-None-Match", value: "*"},
		"Idempotency-Key":   {header: "Idempotency-Key", value: "k1"},
		"a stale read":      {header: "Bobbin-Consistency", value: "stale"},
		"a real cursor":     {query: "before=" + url.QueryEscape(w.messages["foreign"])},
		"no cursor":         {query: "after=nothing"},
		"a cursor of mine":  {query: "anchor=" + url.QueryEscape(w.messages["own"])},
		"a bad limit":       {query: "limit=0"},
		"deleted ones":      {query: "include_deleted=true"},
		"the line":          {query: "path=head"},
		"no JSON":           {body: "no JSON"},
		"no fields":         {body: "{}"},
		"a real parent":     {body: fmt.Sprintf(`{"body":1,"parent":%q,"messages":[{"body":1,"parent":%q}]}`, w.messages["foreign"], w.messages["foreign"])},
		"a head":            {body: fmt.Sprintf(`{"head":%q}`, w.messages["foreign"])},
		"a client's own id": {body: `{"body":1,"id":"c1","messages":[{"body":1,"id":"c1"}]}`},
	}
	for _, r := range httpapi.Routes {
		if !strings.Contains(r.Path, "{thread}") {
			continue
		}
		for _, user := range []string{"owner", "other"} {
			for _, role := range []string{"frontend", "backend", "admin"} {
				c := caller{role, "Bearer", "valid", user}
				for name, v := range variants {
					for _, message := range []string{"foreign", "unknown", "own"} {
						foreign, unknown := object{"foreign", message}, object{"unknown", message}
						got, want := whole(w.ask(t, c, r, foreign, v)), whole(w.ask(t, c, r, unknown, v))
						if got != want {
							t.Errorf("%s of %s as %+v, %s:\n%s\nand of one that is not there:\n%s", r.Name, foreign, c, name, got, want)
						}
					}
				}
			}
		}
	}
	if w.now() != w.seq || w.threads["foreign"] != id {
		t.Error("something was changed")
	}
}
