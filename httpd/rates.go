package httpd

import (
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/leveret-mq/leveret/broker/stats"
	"github.com/leveret-mq/leveret/monitor"
)

// Figures have a rate, and samples where a request asks for them: by lengths_age and
// lengths_incr (in seconds) those of messages that are there, by msg_rates_ of what
// happens to them, by data_rates_ of bytes, by node_stats_ of the node.

// windows are the samples that a request asks for; nil: none.
type windows struct{ lengths, rates, data, node *monitor.Window }

// maxSamples is how many a request may ask for of one figure.
const maxSamples = 100_000

func (c *call) windows() (windows, error) {
	q := c.r.URL.Query()
	var w windows
	for _, each := range []struct {
		name string
		to   **monitor.Window
	}{{"lengths", &w.lengths}, {"msg_rates", &w.rates}, {"data_rates", &w.data}, {"node_stats", &w.node}} {
		got, err := window(q, each.name)
		if err != nil {
			return w, err
		}
		*each.to = got
	}
	return w, nil
}

func window(q url.Values, name string) (*monitor.Window, error) {
	age, err := strconv.Atoi(q.Get(name + "_age"))
	if err != nil {
		return nil, nil // as RabbitMQ takes it
	}
	every, err := strconv.Atoi(q.Get(name + "_incr"))
	if err != nil {
		return nil, nil
	}
	if age <= 0 || every <= 0 || age/every > maxSamples || age > math.MaxInt32 {
		return nil, badRequest("Invalid range parameters: age %d, incr %d", age, every)
	}
	return &monitor.Window{Age: time.Duration(age) * time.Second, Every: time.Duration(every) * time.Second}, nil
}

// detail is how a figure changes.
type detail struct {
	Rate    float64      `json:"rate"`
	Samples []sampleJSON `json:"samples,omitempty"`
	AvgRate *float64     `json:"avg_rate,omitempty"`
	Avg     *float64     `json:"avg,omitempty"`
}

type sampleJSON struct {
	Sample float64 `json:"sample"`
	Time   int64   `json:"timestamp"` // ms since 1970
}

// figures are what is known of how an object fares.
type figures struct {
	rates   monitor.Rates
	history *monitor.History
}

// figures looks an object up; samples come where there is a window.
func (c *call) figures(o monitor.Object, w *monitor.Window) figures {
	m := c.s.monitor.Load()
	if m == nil {
		return figures{}
	}
	f := figures{rates: m.Rates(o)}
	if w != nil {
		h := m.History(o, *w)
		f.history = &h
	}
	return f
}

// detail is that of one figure, which is now so much.
func (f *figures) detail(of monitor.Field, now float64) detail {
	d := detail{Rate: round(f.rates.Of(of))}
	if f.history == nil || len(f.history.Times) == 0 {
		return d
	}
	values, moved := f.history.Values(of)
	d.Samples = make([]sampleJSON, len(f.history.Times))
	sum := 0.0
	for i, at := range f.history.Times {
		v := now
		if moved {
			v = values[i]
		}
		d.Samples[i] = sampleJSON{v, at.UnixMilli()}
		sum += v
	}
	last := len(d.Samples) - 1
	avg, avgRate := round(sum/float64(last+1)), 0.0
	if took := float64(d.Samples[0].Time-d.Samples[last].Time) / 1000; took > 0 {
		avgRate = round((d.Samples[0].Sample - d.Samples[last].Sample) / took)
	}
	d.Avg, d.AvgRate = &avg, &avgRate
	return d
}

func round(x float64) float64 { return math.Round(x*1000) / 1000 }

// stat is one figure in an answer.
type stat struct {
	name  string
	value float64
	detail
}

// statList is an object with the figures and their details.
type statList []stat

func (l statList) MarshalJSON() ([]byte, error) {
	out := make([]byte, 0, 64*len(l)+2)
	out = append(out, '{')
	for i := range l {
		s := &l[i]
		if i > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendQuote(out, s.name)
		out = append(out, ':')
		out = strconv.AppendFloat(out, s.value, 'f', -1, 64)
		out = append(out, ',')
		out = strconv.AppendQuote(out, s.name+"_details")
		out = append(out, ':')
		if s.Samples == nil {
			out = append(out, `{"rate":`...)
			out = strconv.AppendFloat(out, s.Rate, 'f', -1, 64)
			out = append(out, '}')
			continue
		}
		text, err := json.Marshal(s.detail)
		if err != nil {
			return nil, err
		}
		out = append(out, text...)
	}
	return append(out, '}'), nil
}

// add adds a figure.
func (l statList) add(f *figures, of monitor.Field, now float64) statList {
	return append(l, stat{of.String(), now, f.detail(of, now)})
}

// merge puts the figures into an answer that is an object.
func (l statList) merge(into map[string]any) {
	for i := range l {
		into[l[i].name], into[l[i].name+"_details"] = l[i].value, l[i].detail
	}
}

// messageStats are counts as RabbitMQ's message_stats: what nothing was published to
// or taken from lacks those keys, and nil is what has none at all. What clients publish
// over, as a channel, has what became of it beside it, be it 0.
func messageStats(c *stats.Counts, f figures, over bool) statList {
	var l statList
	add := func(of monitor.Field, n uint64) { l = l.add(&f, of, float64(n)) }
	if c.PublishIn+c.PublishOut > 0 {
		add(monitor.PublishIn, c.PublishIn)
		add(monitor.PublishOut, c.PublishOut)
	}
	if c.Publish > 0 || over && c.Confirm+c.ReturnUnroutable+c.DropUnroutable > 0 {
		add(monitor.Publish, c.Publish)
	}
	if over && c.Publish+c.Confirm+c.ReturnUnroutable+c.DropUnroutable > 0 {
		add(monitor.Confirm, c.Confirm)
		add(monitor.ReturnUnroutable, c.ReturnUnroutable)
		add(monitor.DropUnroutable, c.DropUnroutable)
	}
	if c.DeliverGet()+c.GetEmpty+c.Ack+c.Redeliver > 0 {
		add(monitor.Ack, c.Ack)
		add(monitor.Deliver, c.Deliver)
		add(monitor.DeliverGet, c.DeliverGet())
		add(monitor.DeliverNoAck, c.DeliverNoAck)
		add(monitor.Get, c.Get)
		add(monitor.GetEmpty, c.GetEmpty)
		add(monitor.GetNoAck, c.GetNoAck)
		add(monitor.Redeliver, c.Redeliver)
	}
	return l
}

// lengths are messages that are there, with how their number changes.
type lengths struct {
	Messages        int    `json:"messages"`
	MessagesDetails detail `json:"messages_details"`
	Ready           int    `json:"messages_ready"`
	ReadyDetails    detail `json:"messages_ready_details"`
	Unacked         int    `json:"messages_unacknowledged"`
	UnackedDetails  detail `json:"messages_unacknowledged_details"`
}

func showLengths(ready, unacked int, f figures) lengths {
	return lengths{
		ready + unacked, f.detail(monitor.Messages, float64(ready+unacked)),
		ready, f.detail(monitor.Ready, float64(ready)), unacked, f.detail(monitor.Unacked, float64(unacked)),
	}
}

// plain tells that a request wants objects without figures, which RabbitMQ can do
// without its statistics: disable_stats; totals that it wants the lengths of queues all
// the same: enable_queue_totals.
func (c *call) plain() (plain, totals bool) {
	q := c.r.URL.Query()
	return q.Get("disable_stats") == "true", q.Get("enable_queue_totals") == "true"
}

// needsStats refuses where a request wants no figures and there is nothing else.
func (c *call) needsStats() error {
	if plain, _ := c.plain(); plain {
		return badRequest("Stats in management UI are disabled on this node")
	}
	return nil
}

// one answers with one object, cut to columns where the request names some.
func (c *call) one(v any) error {
	columns := c.r.URL.Query().Get("columns")
	if columns == "" {
		return c.json(http.StatusOK, v)
	}
	return c.json(http.StatusOK, cutObject(v, columns))
}
