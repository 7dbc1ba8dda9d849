package ctl

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leveret-mq/leveret/internal/mgmt"
	"github.com/leveret-mq/leveret/internal/terminal"
)

// column is one of a table of objects.
type column struct {
	title string // > at its end aligns it to the right
	show  func(o mgmt.Object) string
	style func(o mgmt.Object) terminal.Style // nil: plain
}

func text(title, field string) column {
	return column{title: title, show: func(o mgmt.Object) string { return show(o.Field(field)) }}
}

func count(title, field string) column {
	return column{title: title + ">", show: func(o mgmt.Object) string {
		if !o.Has(field) {
			return "-"
		}
		return terminal.Number(o.Int(field))
	}}
}

func size(title, field string) column {
	return column{title: title + ">", show: func(o mgmt.Object) string {
		if !o.Has(field) {
			return "-"
		}
		return terminal.Bytes(o.Int(field))
	}}
}

func rate(title, field string) column {
	return column{title: title + ">", show: func(o mgmt.Object) string {
		if !o.Has(field) {
			return "-"
		}
		return terminal.Rate(o.Float(field))
	}}
}

// throughput is bytes a second.
func throughput(title, field string) column {
	return column{title: title + ">", show: func(o mgmt.Object) string {
		if !o.Has(field) {
			return "-"
		}
		return terminal.Bytes(int64(o.Float(field))) + "/s"
	}}
}

// flags writes single words for what is true.
func flags(title string, fields ...string) column {
	return column{title: title, show: func(o mgmt.Object) string {
		var set []string
		for _, f := range fields {
			if o.Bool(f) {
				set = append(set, strings.ReplaceAll(f, "_", "-"))
			}
		}
		return strings.Join(set, ",")
	}}
}

// show is any value of JSON in a cell.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return terminal.Printable(v)
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return v.String()
	case []any:
		if len(v) == 0 {
			return ""
		}
		words := make([]string, len(v))
		for i, each := range v {
			s, ok := each.(string)
			if !ok {
				return compact(v)
			}
			words[i] = terminal.Printable(s)
		}
		return strings.Join(words, ",")
	case map[string]any:
		if len(v) == 0 {
			return ""
		}
	}
	return compact(v)
}

// compact is JSON in a line.
func compact(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return fmt.Sprint(v)
	}
	return terminal.Printable(strings.TrimSuffix(b.String(), "\n"))
}

// since is a time in ms since 1970, as how long ago it was.
func since(ms int64, now time.Time) string {
	if ms <= 0 {
		return "-"
	}
	return terminal.Duration(now.Sub(time.UnixMilli(ms)))
}

// listing is what a list command may be asked for.
type listing struct {
	columns []string
	sort    string
	reverse bool
	name    string
	limit   int
}

func (l *listing) bind(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&l.columns, "columns", nil, "show these `fields` of the API, separated by commas; a dot leads into an object (message_stats.publish)")
	cmd.Flags().StringVar(&l.sort, "sort", "", "sort by that `field` of the API")
	cmd.Flags().BoolVar(&l.reverse, "reverse", false, "sort from the highest to the lowest")
	cmd.Flags().StringVar(&l.name, "match", "", "only names that this regular `expression` matches")
	cmd.Flags().IntVar(&l.limit, "limit", 0, "at most so `many`")
}

func (l *listing) query() (url.Values, error) {
	q := url.Values{}
	if l.limit < 0 || l.limit > 500 {
		return nil, usage("--limit %d is not between 1 and 500; without it there is no limit", l.limit)
	}
	if l.sort != "" {
		q.Set("sort", l.sort)
		q.Set("sort_reverse", strconv.FormatBool(l.reverse))
	}
	if l.name != "" {
		q.Set("name", l.name)
		q.Set("use_regex", "true")
	}
	if l.limit > 0 || l.name != "" || l.sort != "" { // which the API does page by page
		q.Set("page", "1")
		q.Set("page_size", "500")
	}
	if l.limit > 0 {
		q.Set("page_size", strconv.Itoa(l.limit))
	}
	return q, nil
}

// fetch reads a list, all its pages.
func (a *app) fetch(path string, q url.Values, limit int) ([]mgmt.Object, error) {
	if !q.Has("page") {
		return a.client.List(a.ctx(), path, q)
	}
	all := []mgmt.Object{}
	for page := 1; ; page++ {
		q.Set("page", strconv.Itoa(page))
		o, err := a.client.One(a.ctx(), path, q)
		if err != nil {
			return all, err
		}
		all = append(all, o.Objects("items")...)
		if limit > 0 || int64(page) >= o.Int("page_count") {
			return all, nil
		}
	}
}

// list asks for a list and writes it.
func (a *app) list(path string, l *listing, what string, columns ...column) error {
	var q url.Values
	limit := 0
	if l != nil {
		var err error
		if q, err = l.query(); err != nil {
			return err
		}
		limit = l.limit
		if len(l.columns) > 0 {
			columns = nil
			for _, field := range l.columns {
				columns = append(columns, text(field, field))
			}
		}
	}
	objects, err := a.fetch(path, q, limit)
	if err != nil {
		return a.explain(err, what)
	}
	if a.json && l != nil && len(l.columns) > 0 {
		return a.printJSON(cut(objects, l.columns))
	}
	if l != nil {
		a.warnUnknown(objects, l.columns)
	}
	return a.show(objects, columns...)
}

// warnUnknown tells of fields that are in none of the objects: they are misspelt, or
// there where there is something to count only.
func (a *app) warnUnknown(objects []mgmt.Object, fields []string) {
	if len(objects) == 0 {
		return
	}
	for _, f := range fields {
		if !slices.ContainsFunc(objects, func(o mgmt.Object) bool { return o.Has(f) }) {
			fmt.Fprintf(a.errs, "leveret: no field %q in any of these: --json shows all that there are\n", f)
		}
	}
}

// cut keeps some fields of objects.
func cut(objects []mgmt.Object, fields []string) []mgmt.Object {
	out := make([]mgmt.Object, len(objects))
	for i, o := range objects {
		out[i] = mgmt.Object{}
		for _, f := range fields {
			out[i][f] = o.Field(f)
		}
	}
	return out
}

// show writes objects as a table, or as JSON.
func (a *app) show(objects []mgmt.Object, columns ...column) error {
	if a.json {
		if objects == nil {
			objects = []mgmt.Object{}
		}
		return a.printJSON(objects)
	}
	titles := make([]string, len(columns))
	for i, c := range columns {
		titles[i] = c.title
	}
	t := terminal.NewTable(a.out, a.paint, titles...)
	cells := make([]string, len(columns))
	for _, o := range objects {
		for i, c := range columns {
			cells[i] = c.show(o)
		}
		t.Row(cells...)
		for i, c := range columns {
			if c.style != nil {
				t.Style(i, c.style(o))
			}
		}
	}
	return t.Flush()
}

// under is the path of a list of a vhost, or of all.
func (a *app) under(kind string) (path, what string) {
	if a.vhost == "" {
		return mgmt.Path(kind), ""
	}
	return mgmt.Path(kind, a.vhost), fmt.Sprintf("vhost %q", a.vhost)
}
