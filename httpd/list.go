package httpd

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leveret-mq/leveret/broker"
)

// Lists may be asked for by page (page, page_size), filtered by name (name,
// use_regex), sorted (sort, sort_reverse) and cut to some fields (columns). Without
// any of that a list is written as it is made, so that one of a hundred thousand
// queues takes no memory to speak of.

const (
	defaultPage = 100
	maxPage     = 500
)

// list answers with objects.
func list[T any](c *call, objects []T) error {
	return listAs(c, objects, func(t T) T { return t })
}

// listAs answers with what show makes of each object.
func listAs[T, J any](c *call, objects []T, show func(T) J) error {
	q := c.r.URL.Query()
	if !q.Has("page") && !q.Has("sort") && !q.Has("columns") && !q.Has("name") {
		return stream(c, objects, show)
	}
	total := len(objects)
	p, err := pageOf(q)
	if err != nil {
		return err
	}
	if objects, err = named(objects, q); err != nil {
		return err
	}
	filtered := len(objects)
	by := q.Get("sort")
	if by == "" { // what is on other pages need not even be shown
		if objects, err = cutPage(objects, p, filtered); err != nil {
			return err
		}
	}
	rows := make([]map[string]any, len(objects))
	for i, o := range objects {
		text, err := json.Marshal(show(o))
		if err != nil {
			return err
		}
		if err := json.Unmarshal(text, &rows[i]); err != nil {
			return err
		}
	}
	if by != "" {
		slices.SortStableFunc(rows, func(x, y map[string]any) int { return compare(field(x, by), field(y, by)) })
		if q.Get("sort_reverse") == "true" {
			slices.Reverse(rows)
		}
		if rows, err = cutPage(rows, p, filtered); err != nil {
			return err
		}
	}
	if columns := q.Get("columns"); columns != "" {
		rows = cut(rows, strings.Split(columns, ","))
	}
	if p.number == 0 {
		return c.json(http.StatusOK, rows)
	}
	return c.json(http.StatusOK, map[string]any{
		"items": rows, "item_count": len(rows), "filtered_count": filtered, "total_count": total,
		"page": p.number, "page_size": p.size, "page_count": max(1, (filtered+p.size-1)/p.size),
	})
}

// cutPage is one page of a list; page 0 is all of it.
func cutPage[T any](list []T, p pageCut, total int) ([]T, error) {
	from := (p.number - 1) * p.size
	switch {
	case p.number == 0:
		return list, nil
	case from < len(list):
		return list[from:min(from+p.size, len(list))], nil
	case p.number > 1:
		return nil, &failure{http.StatusBadRequest, "page_out_of_range", fmt.Sprintf("Page out of range, page: %d page size: %d, len: %d", p.number, p.size, total)}
	}
	return []T{}, nil
}

// stream writes a list while it is made.
func stream[T, J any](c *call, objects []T, show func(T) J) error {
	h := c.w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Type", "application/json")
	out := bufio.NewWriterSize(c.w, 64<<10)
	control := http.NewResponseController(c.w)
	var one bytes.Buffer
	encode := encoder(&one)
	_ = out.WriteByte('[')
	for i, o := range objects {
		if i > 0 {
			_ = out.WriteByte(',')
		}
		if i%1024 == 0 { // who goes on reading is given more time
			_ = control.SetWriteDeadline(time.Now().Add(answerTimeout))
		}
		one.Reset()
		if err := encode.Encode(show(o)); err != nil {
			return err
		}
		if _, err := out.Write(bytes.TrimSuffix(one.Bytes(), []byte("\n"))); err != nil {
			return nil // whoever asked has gone
		}
	}
	_ = out.WriteByte(']')
	_ = out.Flush()
	return nil
}

type pageCut struct{ number, size int } // number 0: all

func pageOf(q url.Values) (pageCut, error) {
	if !q.Has("page") {
		return pageCut{}, nil
	}
	p := pageCut{size: defaultPage}
	var err error
	if p.number, err = strconv.Atoi(q.Get("page")); err != nil {
		return pageCut{}, badRequest("Pagination parameters are invalid")
	}
	size := "undefined"
	if q.Has("page_size") {
		size = q.Get("page_size")
		if p.size, err = strconv.Atoi(size); err != nil {
			return pageCut{}, badRequest("Pagination parameters are invalid")
		}
	}
	if p.number < 1 || p.number > 1<<31 || p.size < 1 || p.size > maxPage {
		return pageCut{}, &failure{http.StatusBadRequest, "invalid_pagination_parameters",
			fmt.Sprintf("Invalid pagination parameters: page number %d, page size %s", p.number, size)}
	}
	return p, nil
}

// named keeps the objects whose name has the text that is asked for in it, whatever
// its case.
func named[T any](objects []T, q url.Values) ([]T, error) {
	want := q.Get("name")
	if want == "" {
		return objects, nil
	}
	match := func(name string) bool { return strings.Contains(strings.ToLower(name), strings.ToLower(want)) }
	if q.Get("use_regex") == "true" {
		re, err := regexp.Compile("(?i)" + want)
		if err != nil {
			return nil, badRequest("the regular expression is invalid: %v", err)
		}
		match = re.MatchString
	}
	return slices.DeleteFunc(objects, func(o T) bool { return !match(objectName(o)) }), nil
}

// objectName is the name of what lists hold, "" of what has none.
func objectName(o any) string {
	switch o := o.(type) {
	case broker.QueueListing:
		return o.Name
	case broker.ExchangeListing:
		return o.Name
	case broker.ConnectionListing:
		return o.Name
	case userJSON:
		return o.Name
	case vhostJSON:
		return o.Name
	case policyJSON:
		return o.Name
	}
	return ""
}

// field is a row's field; dots lead into objects.
func field(row map[string]any, name string) any {
	if v, ok := row[name]; ok {
		return v
	}
	first, rest, ok := strings.Cut(name, ".")
	if inner, is := row[first].(map[string]any); ok && is {
		return field(inner, rest)
	}
	return nil
}

func compare(x, y any) int {
	if a, ok := x.(float64); ok {
		if b, ok := y.(float64); ok {
			return cmp.Compare(a, b)
		}
	}
	return cmp.Compare(fmt.Sprint(x), fmt.Sprint(y))
}

func cut(rows []map[string]any, columns []string) []map[string]any {
	out := make([]map[string]any, len(rows))
	for i, row := range rows {
		out[i] = map[string]any{}
		for _, name := range columns {
			if v := field(row, name); v != nil {
				out[i][name] = v
			} else if _, ok := row[name]; ok {
				out[i][name] = nil
			}
		}
	}
	return out
}
