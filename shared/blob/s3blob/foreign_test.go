package s3blob

import (
	"errors"
	"net/http"
	"testing"

	"github.com/bobbindb/bobbin/shared/blob"
)

// A 404 that does not say NoSuchKey comes from something between us and the service: it
// is no evidence that an object is absent.
func TestForeign404(t *testing.T) {
	for name, body := range map[string]string{
		"nginx":     "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n",
		"text":      "404 page not found\n",
		"json":      `{"message":"no Route matched with those values"}`,
		"empty":     "",
		"cut short": "<Error><Code>NoSuchBuc",
	} {
		t.Run(name, func(t *testing.T) {
			answer := respond(http.StatusNotFound, http.Header{"Content-Type": {"text/html"}}, body)
			b, _ := open(answer)
			if _, err := b.Get(t.Context(), "k"); !errors.Is(err, blob.ErrUnavailable) {
				t.Errorf("Get() = %v, want ErrUnavailable", err)
			}
			b, _ = open(answer)
			if _, err := b.Put(t.Context(), "k", []byte("x"), blob.IfAbsent()); !errors.Is(err, blob.ErrUnavailable) {
				t.Errorf("Put() = %v, want ErrUnavailable", err)
			}
			b, _ = open(answer)
			if err := b.Delete(t.Context(), "k"); !errors.Is(err, blob.ErrUnavailable) {
				t.Errorf("Delete() = %v, want ErrUnavailable", err)
			}
		})
	}
}

// Who asked for bytes 4 to 6 gets those, or an error.
func TestAnotherRange(t *testing.T) {
	b, _ := open(respond(200, http.Header{"ETag": {`"e"`}, "Content-Length": {"10"}}, "0123456789"))
	if got, err := b.GetRange(t.Context(), "k", 4, 3); err != nil || string(got.Body) != "456" || got.Size != 10 {
		t.Errorf("GetRange() of all that came = %q of %d, %v, want 456 of 10", got.Body, got.Size, err)
	}
	for name, contentRange := range map[string]string{"another range": "bytes 5-7/10", "no range": "bytes */10", "no size": "bytes 4-6/*"} {
		b, _ = open(respond(206, http.Header{"ETag": {`"e"`}, "Content-Length": {"3"}, "Content-Range": {contentRange}}, "567"))
		if got, err := b.GetRange(t.Context(), "k", 4, 3); !errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("%s: GetRange() = %q, %v, want ErrUnavailable", name, got.Body, err)
		}
	}
}
