package httpscript

import (
	"net/http"
	"strings"
	"testing"
)

// echo answers with what it was sent.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Path", r.URL.EscapedPath())
	w.WriteHeader(http.StatusTeapot)
	body := new(strings.Builder)
	for {
		b := make([]byte, 512)
		n, err := r.Body.Read(b)
		body.Write(b[:n])
		if err != nil {
			break
		}
	}
	w.Write([]byte(body.String() + "\n"))
}

func TestPlay(t *testing.T) {
	const request = "=== case\nPOST /a%3Ab\n\n{\"n\":1.0,\"s\":\"t:12\",\"l\":[1,{\"x\":null}]}\n--- "
	for _, tt := range []struct{ name, want, wrong string }{
		{"equal", "418\nX-Path: /a%3Ab\nX-None: -\n\n{\"n\":1.0,\"s\":\"t:12\",\"l\":[1,{\"x\":null}]}", ""},
		{"open", "418\n\n{\"n\":1.0,\"...\":\"...\"}", ""},
		{"captured", "418\n\n{\"n\":\"${_}\",\"s\":\"t:${id}\",\"l\":[\"${_}\",\"${x}\"]}", ""},
		{"known", "418\n\n{\"s\":\"t:${known}\",\"...\":\"...\"}", "$.s"},
		{"known escaped", "418\nX-Path: /${pair|escape}\n", ""},
		{"contains", "418\n\n~ \"n\":1.0\n!~ \"n\":2", ""},
		{"whole", "418\n\n= {\"n\":1.0,\"s\":\"t:12\",\"l\":[1,{\"x\":null}]}", ""},
		{"wrong status", "200", "status"},
		{"wrong header", "418\nX-Path: /c\n", "X-Path"},
		{"missing header", "418\nX-None: *\n", "X-None"},
		{"header there", "418\nX-Path: -\n", "want none"},
		{"wrong spelling of a number", "418\n\n{\"n\":1,\"...\":\"...\"}", "$.n"},
		{"one member more", "418\n\n{\"n\":1.0,\"s\":\"t:12\"}", "$.l is there"},
		{"one member less", "418\n\n{\"z\":1,\"...\":\"...\"}", "$.z is missing"},
		{"wrong list", "418\n\n{\"l\":[1],\"...\":\"...\"}", "$.l"},
		{"not contained", "418\n\n~ \"n\":2", "~"},
		{"contained", "418\n\n!~ \"n\":1.0", "!~"},
		{"not the whole", "418\n\n= {}", "body is not"},
		{"not empty", "418\n\n=", "body is not"},
		{"two values", "418\n\n{\"...\":1}\n{\"...\":1}", "JSON values"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parse(request + tt.want)
			if err != nil {
				t.Fatal(err)
			}
			p := player{handler: http.HandlerFunc(echo), vars: map[string]string{"known": "13", "pair": "a:b"}}
			err = p.play(s.cases[0])
			if tt.wrong == "" && err != nil || tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)) {
				t.Errorf("play() = %v, want %q", err, tt.wrong)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no status":     "=== x\nGET /\n",
		"no request":    "=== x\n--- 200\n",
		"no path":       "=== x\nGET\n--- 200\n",
		"wrong status":  "=== x\nGET /\n--- ok\n",
		"wrong header":  "=== x\nGET /\nnothing\n--- 200\n",
		"wrong default": "nothing\n",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parse(text); err == nil {
				t.Errorf("parse(%q) succeeded", text)
			}
		})
	}
}
