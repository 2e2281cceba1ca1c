package load

import (
	"testing"
)

func TestParseResponse(t *testing.T) {
	cases := []struct {
		name, in string
		status   int
		body     string
		close    bool
	}{
		{name: "length", in: "HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nabc", status: 201, body: "abc"},
		{name: "any case", in: "HTTP/1.1 200 OK\r\ncOnTeNt-LeNgTh:3\r\nCONNECTION: Close\r\n\r\nabc", status: 200, body: "abc", close: true},
		{name: "no body", in: "HTTP/1.1 204 No Content\r\n\r\n", status: 204},
		{name: "chunks", in: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", status: 200, body: "abcde"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for cut := range len(c.in) {
				if _, size, err := parseResponse([]byte(c.in[:cut])); size != 0 || err != nil {
					t.Fatalf("of %q: size %d, error %v, want a wish for more", c.in[:cut], size, err)
				}
			}
			got, size, err := parseResponse([]byte(c.in + "rest"))
			if err != nil || size != len(c.in) || got.status != c.status || string(got.body) != c.body || got.close != c.close {
				t.Errorf("got %d %q close %t, size %d, error %v", got.status, got.body, got.close, size, err)
			}
		})
	}
}

func TestParseResponseRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"another protocol": "SSH-2.0-server\r\n\r\n",
		"no status":        "HTTP/1.1 OK and more\r\n\r\n",
		"bad length":       "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"no length":        "HTTP/1.1 200 OK\r\n\r\n",
		"bad chunk length": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"bad chunk end":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := parseResponse([]byte(in)); err == nil {
				t.Errorf("%q was accepted", in)
			}
		})
	}
}

func FuzzParseResponse(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		length := len(in)
		got, size, err := parseResponse(in)
		if err == nil && (size > length || len(got.body) > size) {
			t.Errorf("size %d and a body of %d from %d bytes", size, len(got.body), length)
		}
	})
}
