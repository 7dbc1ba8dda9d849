package page

import (
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

// get asks for a path; header is pairs of names and values.
func get(h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

var script = strings.Repeat("console.log(1);\n", 100)

var built = fstest.MapFS{
	"index.html":          {Data: []byte("<!doctype html><p>the page")},
	"assets/app-XYZ.js":   {Data: []byte(script)},
	"assets/app-XYZ.css":  {Data: []byte("a{}")},
	"favicon.svg":         {Data: []byte("<svg/>")},
	".keep":               {Data: nil},
	"assets/of-no-kind.x": {Data: []byte("?")},
}

func TestFilesAreServedByName(t *testing.T) {
	h := serveFiles(built)
	for _, c := range []struct {
		path  string
		code  int
		kind  string
		cache string
		body  string
	}{
		{"/", 200, "text/html; charset=utf-8", "no-cache", "<!doctype html><p>the page"},
		{"/index.html", 200, "text/html; charset=utf-8", "no-cache", "<!doctype html><p>the page"},
		{"/assets/app-XYZ.js", 200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", script},
		{"/assets/app-XYZ.css", 200, "text/css; charset=utf-8", "public, max-age=31536000, immutable", "a{}"},
		{"/favicon.svg", 200, "image/svg+xml", "no-cache", "<svg/>"},
		{"/assets/of-no-kind.x", 200, "application/octet-stream", "public, max-age=31536000, immutable", "?"},
		{"/assets/app-OLD.js", 404, "text/plain; charset=utf-8", "", "404 page not found\n"},
		{"/.keep", 404, "text/plain; charset=utf-8", "", "404 page not found\n"},
		{"/assets/../favicon.svg", 404, "text/plain; charset=utf-8", "", "404 page not found\n"},
		{"/assets/", 404, "text/plain; charset=utf-8", "", "404 page not found\n"},
	} {
		w := get(h, c.path)
		hd := w.Header()
		if w.Code != c.code || hd.Get("Content-Type") != c.kind || hd.Get("Cache-Control") != c.cache || w.Body.String() != c.body {
			t.Errorf("%s: %d %v %q", c.path, w.Code, hd, w.Body)
		}
	}
}

func TestWhatCompressesIsSentCompressedToWhoTakesIt(t *testing.T) {
	h := serveFiles(built)
	for accept, packed := range map[string]bool{
		"": false, "gzip": true, "deflate, gzip;q=0.5": true, "*": true, "br, zstd": false, "gzip;q=0": false, "gzip;q=x": false, "GZIP": true, ";;": false,
	} {
		w := get(h, "/assets/app-XYZ.js", "Accept-Encoding", accept)
		text := io.Reader(w.Body)
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != packed {
			t.Errorf("Accept-Encoding %q: gzip %v", accept, got)
		} else if got {
			if w.Body.Len() >= len(script) {
				t.Errorf("packed it has %d bytes", w.Body.Len())
			}
			r, err := gzip.NewReader(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			text = r
		}
		if all, err := io.ReadAll(text); err != nil || string(all) != script {
			t.Errorf("Accept-Encoding %q: %v, %q", accept, err, all)
		}
		if w.Header().Get("Vary") != "Accept-Encoding" {
			t.Errorf("%v", w.Header())
		}
	}
	if w := get(h, "/favicon.svg", "Accept-Encoding", "gzip"); w.Header().Get("Content-Encoding") != "" || w.Body.String() != "<svg/>" {
		t.Errorf("what gzip makes no smaller: %v %q", w.Header(), w.Body)
	}
}

func TestWhatABrowserHasIsNotSentAgain(t *testing.T) {
	h := serveFiles(built)
	plain := get(h, "/assets/app-XYZ.js").Header().Get("ETag")
	packed := get(h, "/assets/app-XYZ.js", "Accept-Encoding", "gzip").Header().Get("ETag")
	if plain == "" || plain == packed || plain == get(h, "/").Header().Get("ETag") {
		t.Fatalf("entity tags %s, %s", plain, packed)
	}
	for _, c := range []struct {
		has, accept string
		code        int
	}{
		{plain, "", 304}, {"W/" + plain, "", 304}, {`"other", ` + plain, "", 304}, {"*", "", 304},
		{packed, "gzip", 304}, {packed, "", 200}, {plain, "gzip", 200}, {`"other"`, "", 200},
	} {
		w := get(h, "/assets/app-XYZ.js", "If-None-Match", c.has, "Accept-Encoding", c.accept)
		if w.Code != c.code || c.code == 304 && w.Body.Len() > 0 {
			t.Errorf("who has %s and takes %q: %d, %d bytes", c.has, c.accept, w.Code, w.Body.Len())
		}
	}
}

func TestHeadIsAnsweredWithoutABody(t *testing.T) {
	w := httptest.NewRecorder()
	serveFiles(built).ServeHTTP(w, httptest.NewRequest("HEAD", "/", nil))
	if w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Length") != "26" {
		t.Errorf("%d %v %q", w.Code, w.Header(), w.Body)
	}
}

func TestUnbuiltPageSaysHowToBuildIt(t *testing.T) {
	w := get(serveFiles(fstest.MapFS{".keep": {}}), "/")
	if w.Code != 200 || !strings.Contains(w.Body.String(), "make ui") || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("%d %v %q", w.Code, w.Header(), w.Body)
	}
}

func TestEmbeddedPageIsServed(t *testing.T) {
	w := get(Files(), "/")
	if w.Code != 200 || !strings.Contains(w.Body.String(), "<title>Leveret</title>") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	if Built() == strings.Contains(w.Body.String(), "make ui") {
		t.Errorf("built %v, and the page is %q", Built(), w.Body)
	}
	if !Built() {
		return
	}
	err := fs.WalkDir(dist, "dist", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasPrefix(d.Name(), ".") {
			if w := get(Files(), strings.TrimPrefix(name, "dist")); w.Code != 200 || w.Header().Get("Content-Type") == "application/octet-stream" {
				t.Errorf("%s: %d %v", name, w.Code, w.Header())
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// The policy is what keeps a name with HTML in it from being more than text, should the
// page ever make a mistake.
func TestPolicyPermitsNoInlineScript(t *testing.T) {
	h := http.Header{}
	Protect(h)
	policy := h.Get("Content-Security-Policy")
	for _, want := range []string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "base-uri 'none'", "form-action 'self'",
		"frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'",
	} {
		if !strings.Contains(policy+";", want+";") {
			t.Errorf("%s is missing in %s", want, policy)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
		t.Error(policy)
	}
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
	} {
		if h.Get(name) != want {
			t.Errorf("%s: %q", name, h.Get(name))
		}
	}
	// The index keeps to it, built or not.
	if text := get(Files(), "/").Body.String(); strings.Contains(text, "style=") || strings.Contains(text, "<style") || strings.Contains(text, "<script>") {
		t.Error(text)
	}
}
