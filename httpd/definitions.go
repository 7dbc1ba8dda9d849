package httpd

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/definitions"
	"github.com/leveret-mq/leveret/internal/identity"
)

const (
	// maxDefinitions bounds in bytes the definitions that a request brings.
	maxDefinitions = 64 << 20
	// uploadTimeout is how long they may take to come.
	uploadTimeout = time.Minute
)

var definitionPaths = map[string]resource{
	"/api/definitions":         {get: action{administrator, getDefinitions}, post: action{administrator, postDefinitions}},
	"/api/definitions/{vhost}": {get: action{administrator, getDefinitions}, post: action{administrator, postDefinitions}},
	"/api/all-configuration":   {get: action{administrator, getDefinitions}, post: action{administrator, postDefinitions}}, // its old name
}

// getDefinitions exports, as a file to download where the request names one.
func getDefinitions(c *call) error {
	var text bytes.Buffer
	err := definitions.Export(&text, c.b, c.r.PathValue("vhost"), identity.RabbitMQ)
	switch {
	case errors.Is(err, broker.ErrNoVHost):
		return badRequest("vhost_not_found")
	case err != nil:
		return err
	}
	h := c.w.Header()
	if name := c.r.URL.Query().Get("download"); name != "" {
		if d := mime.FormatMediaType("attachment", map[string]string{"filename": name}); d != "" {
			h.Set("Content-Disposition", d)
		}
	}
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Type", "application/json")
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(uploadTimeout))
	_, _ = c.w.Write(bytes.TrimSuffix(text.Bytes(), []byte("\n"))) // whoever asked may have gone
	return nil
}

// postDefinitions imports what is the body, or a file in a form.
func postDefinitions(c *call) error {
	vhost := c.r.PathValue("vhost")
	if vhost != "" {
		if _, err := c.b.VHost(vhost); err != nil {
			return errNoVHost
		}
	}
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Now().Add(uploadTimeout))
	text, err := c.file()
	if err != nil {
		return err
	}
	d, err := definitions.Parse(text, vhost)
	if err != nil {
		return badRequest("%v", err)
	}
	report, err := d.Import(c.b)
	for _, warning := range report.Warnings {
		c.s.opts.Logger.Warn("definitions are imported, but: "+warning, "by", c.user.Name)
	}
	var missing *definitions.MissingError
	switch {
	case errors.As(err, &missing):
		return because("no_such_"+missing.What, missing.Name)
	case errors.Is(err, broker.ErrNoVHost):
		return errNoVHost // deleted meanwhile
	case err != nil:
		return err
	}
	return c.done(false)
}

// file reads the request's body, or, of a form with several parts, the file in it.
func (c *call) file() ([]byte, error) {
	body := http.MaxBytesReader(c.w, c.r.Body, maxDefinitions)
	from := io.Reader(body)
	if kind := c.r.Header.Get("Content-Type"); strings.HasPrefix(kind, "multipart/form-data") {
		c.r.Body = body
		form, err := c.r.MultipartReader()
		if err != nil {
			return nil, badRequest("the form could not be read")
		}
		for {
			part, err := form.NextPart()
			if errors.Is(err, io.EOF) {
				return nil, badRequest("the form has no file")
			}
			if err != nil {
				return nil, unreadable(err)
			}
			if part.FormName() == "file" {
				from = part
				break
			}
		}
	}
	text, err := io.ReadAll(from)
	if err != nil {
		return nil, unreadable(err)
	}
	return text, nil
}
