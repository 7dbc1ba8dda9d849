package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

//go:embed all:dist
var dist embed.FS

// index is the file that the others hang on.
const index = "index.html"

// unbuilt is served where the page was not built.
const unbuilt = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Leveret</title>
<h1>Leveret</h1>
<p>The broker runs. This binary was built without the management page.
<p>To have the page, build with <code>make build</code>; or run <code>make ui</code>, which needs
Node.js, then <code>go build ./cmd/leveret</code>.
<p>The management API under <a href="/api/overview">/api</a> works all the same, as do the
command <code>leveret</code> and <code>rabbitmqadmin</code>.
`

// file is one file of the page.
type file struct {
	name    string
	kind    string // Content-Type
	content []byte
	etag    string
	gzipped func() []byte // nil where that is no smaller; made when first asked for
}

func newFile(name string, content []byte) *file {
	sum := sha256.Sum256(content)
	f := &file{name: name, content: content, etag: `"` + hex.EncodeToString(sum[:12]) + `"`, kind: kinds[path.Ext(name)]}
	if f.kind == "" {
		f.kind = "application/octet-stream"
	}
	f.gzipped = sync.OnceValue(func() []byte {
		var b bytes.Buffer
		w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // fails for a bad level only
		_, _ = w.Write(content)
		_ = w.Close()
		if b.Len() >= len(content) {
			return nil
		}
		return b.Bytes()
	})
	return f
}

// kinds are the types of what a page is made of. The machine's own table of types is
// not asked: it may be wrong, and nosniff makes that fatal.
var kinds = map[string]string{
	".html":  "text/html; charset=utf-8",
	".js":    "text/javascript; charset=utf-8",
	".css":   "text/css; charset=utf-8",
	".svg":   "image/svg+xml",
	".png":   "image/png",
	".woff2": "font/woff2",
	".txt":   "text/plain; charset=utf-8",
}

// Built tells whether the page was built into this binary.
func Built() bool {
	_, err := fs.Stat(dist, "dist/"+index)
	return err == nil
}

// Files answers GET and HEAD with the page's files, the index at the root.
func Files() http.Handler {
	root, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the name is a constant
	}
	return serveFiles(root)
}

func serveFiles(root fs.FS) http.Handler {
	files := map[string]*file{"": newFile(index, []byte(unbuilt))}
	_ = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(path.Base(name), ".") {
			return nil
		}
		if content, err := fs.ReadFile(root, name); err == nil { // embedded: it cannot fail
			files[name] = newFile(name, content)
		}
		return nil
	})
	if f := files[index]; f != nil {
		files[""] = f
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := files[strings.TrimPrefix(r.URL.Path, "/")]
		if f == nil {
			http.NotFound(w, r)
			return
		}
		f.serve(w, r)
	})
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	content, etag := f.content, f.etag
	h.Set("Vary", "Accept-Encoding")
	if takesGzip(r) {
		if packed := f.gzipped(); packed != nil {
			content, etag = packed, strings.TrimSuffix(f.etag, `"`)+`-gzip"`
			h.Set("Content-Encoding", "gzip")
		}
	}
	h.Set("ETag", etag)
	if strings.HasPrefix(f.name, "assets/") {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	if has(r.Header.Get("If-None-Match"), etag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.kind)
	h.Set("Content-Length", strconv.Itoa(len(content)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(content) // whoever asked may have gone
	}
}

// has tells whether a list of entity tags holds one, weak or not.
func has(list, etag string) bool {
	for each := range strings.SplitSeq(list, ",") {
		if each = strings.TrimSpace(each); each == "*" || strings.TrimPrefix(each, "W/") == etag {
			return true
		}
	}
	return false
}

// takesGzip tells whether whoever asks can unpack gzip.
func takesGzip(r *http.Request) bool {
	for each := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, params, err := mime.ParseMediaType(strings.TrimSpace(each))
		if err != nil || coding != "gzip" && coding != "*" {
			continue
		}
		q, err := strconv.ParseFloat(params["q"], 64)
		return params["q"] == "" || err == nil && q > 0
	}
	return false
}
