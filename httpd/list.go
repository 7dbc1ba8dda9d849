package httpd

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/broker/policy"
	"github.com/leveret-mq/leveret/internal/expression"
	"github.com/leveret-mq/leveret/monitor"
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
	if objects, err = arranged(c, objects, q, show); err != nil {
		return err
	}
	filtered := len(objects)
	// What is on other pages need not even be shown.
	if objects, err = cutPage(objects, p, filtered); err != nil {
		return err
	}
	columns := q.Get("columns")
	if p.number == 0 {
		if columns == "" {
			return stream(c, objects, show)
		}
		return stream(c, objects, func(o T) any { return cutObject(show(o), columns) })
	}
	rows := make([]any, len(objects))
	for i, o := range objects {
		if rows[i] = show(o); columns != "" {
			rows[i] = cutObject(rows[i], columns)
		}
	}
	return c.json(http.StatusOK, map[string]any{
		"items": rows, "item_count": len(rows), "filtered_count": filtered, "total_count": total,
		"page": p.number, "page_size": p.size, "page_count": (filtered + p.size - 1) / p.size,
	})
}

// longList is from how many objects on those who filter and sort take turns: clients have
// processors to wait for, too.
const longList = 5000

// arranged filters and sorts a list.
func arranged[T, J any](c *call, objects []T, q url.Values, show func(T) J) ([]T, error) {
	by := q.Get("sort")
	if len(objects) >= longList && (by != "" || q.Get("name") != "") {
		if err := c.turn(c.s.sorters, "sort long lists"); err != nil {
			return nil, err
		}
		defer func() { <-c.s.sorters }()
	}
	objects, err := named(c, objects, q)
	if err != nil || by == "" {
		return objects, err
	}
	if objects, err = sorted(c, objects, by, show); err == nil && q.Get("sort_reverse") == "true" {
		slices.Reverse(objects)
	}
	return objects, err
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
func named[T any](c *call, objects []T, q url.Values) ([]T, error) {
	want := q.Get("name")
	if want == "" {
		return objects, nil
	}
	lower := strings.ToLower(want)
	match := func(name string) bool { return strings.Contains(strings.ToLower(name), lower) }
	if q.Get("use_regex") == "true" {
		re, err := compile(want)
		if err != nil {
			return nil, err
		}
		match = re.MatchString
	}
	var kept []T
	began := time.Now()
	for i, o := range objects {
		if i%64 == 0 && c.r.Context().Err() != nil {
			return nil, errGone
		}
		if i%64 == 0 && time.Since(began) > answerTimeout {
			return nil, badRequest("to look for the name takes too long")
		}
		if match(objectName(o)) {
			kept = append(kept, o)
		}
	}
	return kept, nil
}

// maxExpression bounds in bytes an expression that names are looked up by.
const maxExpression = 1024

// compile makes an expression that matches whatever a name's case.
func compile(text string) (*regexp.Regexp, error) {
	if len(text) > maxExpression {
		return nil, badRequest("the regular expression is longer than %d bytes", maxExpression)
	}
	re, err := expression.Compile("(?i)" + text)
	if err != nil && !errors.Is(err, expression.ErrTooLarge) {
		return nil, badRequest("the regular expression is invalid: %v", err)
	} else if err != nil {
		return nil, badRequest("%v", err)
	}
	return re, nil
}

// objectName is the name of what lists hold, "" of what has none.
func objectName(o any) string {
	switch o := o.(type) {
	case broker.QueueRef:
		return o.Name()
	case broker.ExchangeListing:
		return o.Name
	case broker.ConnectionListing:
		return o.Name
	case broker.ChannelListing:
		return o.Name
	case userJSON:
		return o.Name
	case broker.VHost:
		return o.Name
	case policyJSON:
		return o.Name
	}
	return ""
}

// sorted sorts objects by a field of what is shown of them.
func sorted[T, J any](c *call, objects []T, by string, show func(T) J) ([]T, error) {
	type keyed struct {
		key any
		o   T
	}
	all := make([]keyed, len(objects))
	for i, o := range objects {
		if i%64 == 0 && c.r.Context().Err() != nil {
			return nil, errGone
		}
		key, ok := c.sortKey(o, by)
		if !ok {
			row, err := rowOf(show(o))
			if err != nil {
				return nil, err
			}
			key = field(row, by)
		}
		all[i] = keyed{key, o}
	}
	slices.SortStableFunc(all, func(x, y keyed) int { return compare(x.key, y.key) })
	for i := range all {
		objects[i] = all[i].o
	}
	return objects, nil
}

// sortKey is a field of an object that can be had without showing all of it, which for
// all of many queues would take long.
func (c *call) sortKey(o any, by string) (key any, ok bool) {
	if name := objectName(o); by == "name" && name != "" {
		return name, true
	}
	r, is := o.(broker.QueueRef)
	if !is {
		return nil, false
	}
	by = strings.TrimPrefix(by, "message_stats.")
	if name, ok := strings.CutSuffix(by, "_details.rate"); ok {
		f, ok := rateFields[name]
		if !ok {
			return nil, false
		}
		figures := c.figures(monitor.Object{Kind: monitor.Queue, ID: r.ID()}, nil)
		return figures.rates.Of(f), true
	}
	if by == "vhost" {
		return r.VHost(), true
	}
	of, ok := queueKeys[by]
	if !ok {
		return nil, false
	}
	q := r.List()
	return of(&q), true
}

// queueKeys are the fields of queues by which they can be sorted quickly.
var queueKeys = map[string]func(q *broker.QueueListing) any{
	"type":                    func(q *broker.QueueListing) any { return q.Type },
	"state":                   func(*broker.QueueListing) any { return "running" },
	"node":                    func(*broker.QueueListing) any { return "" },
	"durable":                 func(q *broker.QueueListing) any { return q.Durable },
	"policy":                  func(q *broker.QueueListing) any { return policyName(q.Policy) },
	"consumers":               func(q *broker.QueueListing) any { return float64(q.Consumers) },
	"consumer_utilisation":    func(q *broker.QueueListing) any { return max(round(q.Utilisation), 0) },
	"messages":                func(q *broker.QueueListing) any { return float64(q.Ready + q.Unacked) },
	"messages_ready":          func(q *broker.QueueListing) any { return float64(q.Ready) },
	"messages_unacknowledged": func(q *broker.QueueListing) any { return float64(q.Unacked) },
	"messages_persistent":     func(q *broker.QueueListing) any { return float64(q.Persistent) },
	"message_bytes":           func(q *broker.QueueListing) any { return float64(q.Bytes) },
	"message_bytes_ready":     func(q *broker.QueueListing) any { return float64(q.ReadyBytes) },
	"memory":                  func(q *broker.QueueListing) any { return float64(memoryOf(q)) },
	"publish":                 func(q *broker.QueueListing) any { return float64(q.Counts.Publish) },
	"deliver_get":             func(q *broker.QueueListing) any { return float64(q.Counts.DeliverGet()) },
	"ack":                     func(q *broker.QueueListing) any { return float64(q.Counts.Ack) },
	"redeliver":               func(q *broker.QueueListing) any { return float64(q.Counts.Redeliver) },
}

func policyName(p *policy.Policy) any {
	if p == nil {
		return nil
	}
	return p.Name
}

// rateFields are the figures by which queues are often sorted.
var rateFields = func() map[string]monitor.Field {
	all := map[string]monitor.Field{}
	for _, f := range append([]monitor.Field{monitor.DeliverGet, monitor.Messages}, monitor.Queue.Fields()...) {
		all[f.String()] = f
	}
	return all
}()

// rowOf is what is shown of an object as its fields.
func rowOf(v any) (map[string]any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var row map[string]any
	return row, json.Unmarshal(text, &row)
}

// mustRow is rowOf of what is known to be an object.
func mustRow(v any) map[string]any {
	row, _ := rowOf(v)
	return row
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

// compare orders fields; one that is not there is like 0.
func compare(x, y any) int {
	if x == nil {
		x = 0.0
	}
	if y == nil {
		y = 0.0
	}
	if a, ok := x.(float64); ok {
		if b, ok := y.(float64); ok {
			return cmp.Compare(a, b)
		}
	}
	return cmp.Compare(fmt.Sprint(x), fmt.Sprint(y))
}

// cutRow keeps some fields of a row; those with dots are within others.
func cutRow(row map[string]any, columns string) map[string]any {
	out := map[string]any{}
	for name := range strings.SplitSeq(columns, ",") {
		cutField(out, row, name)
	}
	return out
}

func cutField(out, row map[string]any, name string) {
	if v, ok := row[name]; ok {
		out[name] = v
		return
	}
	first, rest, ok := strings.Cut(name, ".")
	inner, is := row[first].(map[string]any)
	if !ok || !is {
		return
	}
	within, _ := out[first].(map[string]any)
	if within == nil {
		within = map[string]any{}
	}
	if cutField(within, inner, rest); len(within) > 0 {
		out[first] = within
	}
}
