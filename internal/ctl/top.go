package ctl

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leveret-mq/leveret/internal/mgmt"
	"github.com/leveret-mq/leveret/internal/terminal"
)

// The view asks every topInterval, and keeps as many rates as a wide terminal shows.
const (
	topInterval = 2 * time.Second
	minInterval = 500 * time.Millisecond
	maxInterval = time.Minute
	topHistory  = 200
	onceWidth   = 120
	topPage     = 500 // queues, the most that the API gives at once
)

func (a *app) newTop() *cobra.Command {
	t := &top{app: a, interval: topInterval}
	var once bool
	var by string
	cmd := command("top", "Watch rates and queues in the terminal; q ends it", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		if !slices.ContainsFunc(orders, func(o order) bool { return o.name == by }) {
			return usage("--by %q is none of %s", by, strings.Join(orderNames(), ", "))
		}
		if t.interval < minInterval || t.interval > maxInterval {
			return usage("--interval %s is not between %s and %s", t.interval, minInterval, maxInterval)
		}
		t.by = by
		if once {
			t.take(t.fetch(a.ctx(), t.request()))
			if t.err != nil {
				return t.err
			}
			if a.json {
				return a.printJSON(map[string]any{"overview": t.overview, "nodes": t.nodes, "queues": t.queues})
			}
			return t.print(onceWidth, time.Now())
		}
		if !terminal.IsTerminal(a.out) || !terminal.IsTerminal(a.in) {
			return usage("top needs a terminal: leveret top --once prints what it shows")
		}
		return t.watch(cmd.Context())
	})
	cmd.Long = `Watch what the broker does: totals, rates, and its queues by one of several orders.

Keys: r d u b n order by rate, depth, unacked, bytes and name; the arrows and page keys
move; / filters by name; space holds the view; + and - change how often it is renewed;
q ends it.`
	cmd.Flags().DurationVar(&t.interval, "interval", topInterval, "how often it asks")
	cmd.Flags().StringVar(&by, "by", "rate", "`order` of the queues: "+strings.Join(orderNames(), ", "))
	cmd.Flags().BoolVar(&once, "once", false, "print it once and end")
	completeWords(cmd, "by", orderNames()...)
	return cmd
}

// order is one of the orders of the queues.
type order struct {
	key, name string
	field     string // that the API sorts by
	reverse   bool
}

var orders = []order{
	{"r", "rate", "message_stats.publish_details.rate", true},
	{"d", "depth", "messages", true},
	{"u", "unacked", "messages_unacknowledged", true},
	{"b", "bytes", "message_bytes", true},
	{"n", "name", "name", false},
}

func orderNames() []string {
	var names []string
	for _, o := range orders {
		names = append(names, o.name)
	}
	return names
}

// top is what leveret top knows and how it is asked to show it.
type top struct {
	app      *app
	interval time.Duration

	by     string
	filter string
	typing bool // the filter
	held   bool
	offset int // of the first queue that is shown

	overview mgmt.Object
	nodes    []mgmt.Object
	storage  mgmt.Object
	queues   []mgmt.Object
	total    int // queues, shown or not
	in, out  []float64
	err      error // of the last time that it asked
}

// request is what is asked for.
type request struct {
	by     string
	filter string
}

func (t *top) request() request { return request{t.by, t.filter} }

// answer is what came.
type answer struct {
	request
	overview mgmt.Object
	nodes    []mgmt.Object
	storage  mgmt.Object
	queues   []mgmt.Object
	total    int
	err      error
}

// topColumns are the fields of queues that are shown.
const topColumns = "name,vhost,state,idle_since,messages,messages_ready,messages_unacknowledged,message_bytes,consumers," +
	"message_stats.publish_details.rate,message_stats.deliver_get_details.rate,message_stats.ack_details.rate"

// fetch asks. It touches nothing of t that changes.
func (t *top) fetch(ctx context.Context, r request) answer {
	a := t.app
	out := answer{request: r}
	explain := func(err error) bool {
		if err != nil {
			out.err = a.explain(err, "")
		}
		return err != nil
	}
	var err error
	if out.overview, err = a.client.Overview(ctx); explain(err) {
		return out
	}
	out.nodes, err = a.client.List(ctx, mgmt.Path("nodes"), nil)
	if err != nil && !mgmt.IsStatus(err, 401) && !mgmt.IsStatus(err, 404) && explain(err) {
		return out
	}
	out.storage, err = a.client.One(ctx, mgmt.Path("storage"), nil)
	if err != nil && !mgmt.IsStatus(err, 401) && !mgmt.IsStatus(err, 404) && explain(err) {
		return out
	}
	o := orders[slices.IndexFunc(orders, func(o order) bool { return o.name == r.by })]
	q := url.Values{"page": {"1"}, "page_size": {strconv.Itoa(topPage)}, "sort": {o.field}, "sort_reverse": {strconv.FormatBool(o.reverse)}, "columns": {topColumns}}
	if r.filter != "" {
		q.Set("name", r.filter)
	}
	path, what := a.under("queues")
	page, err := a.client.One(ctx, path, q)
	if err != nil {
		out.err = a.explain(err, what)
		return out
	}
	out.queues, out.total = page.Objects("items"), int(page.Int("filtered_count"))
	return out
}

// take shows an answer from now on, unless it is to a question that is out of date.
func (t *top) take(n answer) {
	if n.request != t.request() {
		return
	}
	if t.err = n.err; n.err != nil {
		return
	}
	t.overview, t.nodes, t.storage, t.queues, t.total = n.overview, n.nodes, n.storage, n.queues, n.total
	t.sort()
	t.in = push(t.in, n.overview.Float("message_stats.publish_details.rate"))
	t.out = push(t.out, n.overview.Float("message_stats.deliver_get_details.rate"))
	t.move(0)
}

func push(history []float64, v float64) []float64 {
	history = append(history, v)
	return history[max(0, len(history)-topHistory):]
}

// sort puts those that the API put first into the order of what is shown: of equal ones
// the deeper comes first, then the name, so that idle queues do not dance.
func (t *top) sort() {
	field := func(o mgmt.Object) float64 {
		switch t.by {
		case "rate":
			return o.Float("message_stats.publish_details.rate") + o.Float("message_stats.deliver_get_details.rate")
		case "depth":
			return o.Float("messages")
		case "unacked":
			return o.Float("messages_unacknowledged")
		case "bytes":
			return o.Float("message_bytes")
		}
		return 0
	}
	slices.SortStableFunc(t.queues, func(x, y mgmt.Object) int {
		if t.by == "name" {
			return cmp.Or(cmp.Compare(x.Text("name"), y.Text("name")), cmp.Compare(x.Text("vhost"), y.Text("vhost")))
		}
		return cmp.Or(cmp.Compare(field(y), field(x)), cmp.Compare(y.Float("messages"), x.Float("messages")),
			cmp.Compare(x.Text("vhost"), y.Text("vhost")), cmp.Compare(x.Text("name"), y.Text("name")))
	})
}

func (t *top) move(n int) { t.offset = max(0, min(t.offset+n, len(t.queues)-1)) }

// key does what a key asks for: quit, or ask anew, since what is wanted is another.
func (t *top) key(k string) (quit, again bool) {
	if t.typing {
		return false, t.typeFilter(k)
	}
	for _, o := range orders {
		if k == o.key && t.by != o.name {
			t.by, t.offset = o.name, 0
			t.sort() // what is known, at once
			return false, true
		}
	}
	switch k {
	case "q", "ctrl-c", "esc":
		return true, false
	case "up", "k":
		t.move(-1)
	case "down", "j":
		t.move(1)
	case "pgup":
		t.move(-10)
	case "pgdn":
		t.move(10)
	case "home", "g":
		t.offset = 0
	case "end", "G":
		t.move(len(t.queues))
	case "/":
		t.typing = true
	case " ":
		t.held = !t.held
		return false, !t.held
	case "+":
		t.interval = max(minInterval, t.interval/2)
		return false, true
	case "-":
		t.interval = min(maxInterval, t.interval*2)
	}
	return false, false
}

// typeFilter changes the filter by a key, and tells whether it is done.
func (t *top) typeFilter(k string) (again bool) {
	switch k {
	case "enter":
		t.typing = false
		return true
	case "esc", "ctrl-c":
		t.typing, t.filter = false, ""
		return true
	case "backspace":
		if r := []rune(t.filter); len(r) > 0 {
			t.filter = string(r[:len(r)-1])
		}
	default:
		if len([]rune(k)) == 1 {
			t.filter += k
		}
	}
	return false
}

// print writes the view once, whole, without the keys.
func (t *top) print(width int, now time.Time) error {
	lines := t.frame(width, len(t.queues)+20, now)
	lines = lines[:len(lines)-1]
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(t.app.out, strings.TrimRight(line, " ")); err != nil {
			return err
		}
	}
	return nil
}

// frame is the whole view, at most height lines of width columns.
func (t *top) frame(width, height int, now time.Time) []string {
	p := t.app.paint
	var lines []string
	add := func(s terminal.Style, text string) {
		lines = append(lines, p.Text(s, terminal.Fit(terminal.Printable(text), width)))
	}
	o := t.overview
	name := strings.TrimSpace("leveret " + o.Text("leveret_version"))
	add(terminal.Bold, fmt.Sprintf("%s  %s  %s", name, t.app.client.Address(), now.Format("15:04:05")))
	if t.overview != nil {
		add(terminal.Plain, fmt.Sprintf("%s ready  %s unacked   %s", terminal.Number(o.Int("queue_totals.messages_ready")), terminal.Number(o.Int("queue_totals.messages_unacknowledged")), objects(o)))
		for _, n := range t.nodes {
			text, style := nodeLine(n)
			add(style, text)
		}
		if text := fsyncText(t.storage); text != "" {
			add(terminal.Plain, "fsync "+text)
		}
		spark := max(0, min(topHistory, width-38))
		add(terminal.Accent, rateLine("in", t.in, spark))
		add(terminal.Good, rateLine("out", t.out, spark))
	}
	if t.err != nil {
		add(terminal.Bad, t.err.Error())
	}
	lines = append(lines, "")
	footer := t.footer(width)
	if room := height - len(lines) - 1; room > 0 && t.overview != nil {
		lines = append(lines, t.table(width, room)...)
	}
	for len(lines) < height-1 {
		lines = append(lines, "")
	}
	if len(lines) >= height {
		lines = lines[:max(0, height-1)]
	}
	return append(lines, footer)
}

// objects counts what there is beside messages.
func objects(o mgmt.Object) string {
	var parts []string
	for _, what := range []string{"queue", "consumer", "connection", "channel"} {
		if o.Has("object_totals." + what + "s") {
			parts = append(parts, terminal.Plural(int(o.Int("object_totals."+what+"s")), what))
		}
	}
	return strings.Join(parts, ", ")
}

func nodeLine(n mgmt.Object) (string, terminal.Style) {
	parts := []string{n.Text("name"), "up " + terminal.Duration(time.Duration(n.Int("uptime"))*time.Millisecond)}
	if n.Has("mem_used") {
		parts = append(parts, "memory "+terminal.Bytes(n.Int("mem_used"))+" of "+terminal.Bytes(n.Int("mem_limit")))
	}
	if n.Has("disk_free") {
		parts = append(parts, "disk free "+terminal.Bytes(n.Int("disk_free")))
	}
	style := terminal.Plain
	for _, alarm := range []string{"mem_alarm", "disk_free_alarm"} {
		if n.Bool(alarm) {
			parts = append(parts, "ALARM: publishers are held up")
			style = terminal.Bad
			break
		}
	}
	return strings.Join(parts, "  "), style
}

// rateLine is a rate and how it went, in bars of eighths of the peak.
func rateLine(name string, history []float64, width int) string {
	last := 0.0
	if len(history) > 0 {
		last = history[len(history)-1]
	}
	shown := history[max(0, len(history)-width):]
	top := slices.Max(append([]float64{0}, shown...))
	var bars strings.Builder
	for _, v := range shown {
		level := 0
		if top > 0 && v > 0 {
			level = max(1, int(math.Round(v/top*8)))
		}
		bars.WriteRune([]rune(" ▁▂▃▄▅▆▇█")[level])
	}
	return fmt.Sprintf("%-3s %12s  peak %-12s  %s", name, terminal.Rate(last), terminal.Rate(top), bars.String())
}

// topColumn is one of the table of queues. Those of the least rank stay longest where
// the terminal is narrow.
type topColumn struct {
	column
	width, rank int
	by          string
}

var topTable = []topColumn{
	{text("VHOST", "vhost"), 10, 6, ""},
	{count("READY", "messages_ready"), 12, 0, "depth"},
	{count("UNACKED", "messages_unacknowledged"), 10, 2, "unacked"},
	{size("BYTES", "message_bytes"), 10, 5, "bytes"},
	{count("CONS", "consumers"), 6, 4, ""},
	{rate("IN", "message_stats.publish_details.rate"), 10, 1, "rate"},
	{rate("OUT", "message_stats.deliver_get_details.rate"), 10, 1, "rate"},
	{rate("ACK", "message_stats.ack_details.rate"), 10, 3, ""},
	{column{title: "STATE", show: queueState, style: stateStyle}, 8, 7, ""},
}

// minName is the least that a queue's name gets.
const minName = 12

// table is the queues from the offset on, in at most so many lines.
func (t *top) table(width, lines int) []string {
	shown := slices.Clone(topTable)
	if t.app.vhost != "" {
		shown = slices.DeleteFunc(shown, func(c topColumn) bool { return c.title == "VHOST" })
	}
	if t.alike() {
		for i := range shown {
			if shown[i].title == "VHOST" {
				shown[i].rank = 2
			}
		}
	}
	room := func() int {
		left := width
		for _, c := range shown {
			left -= c.width + 1
		}
		return left
	}
	for room() < minName && len(shown) > 0 {
		worst := slices.MaxFunc(shown, func(x, y topColumn) int { return cmp.Compare(x.rank, y.rank) })
		shown = slices.DeleteFunc(shown, func(c topColumn) bool { return c.rank == worst.rank })
	}
	longest := minName
	for _, q := range t.queues {
		longest = max(longest, terminal.Width(show(q.Field("name"))))
	}
	name := max(1, min(room(), longest))
	p := t.app.paint
	title := terminal.Pad("QUEUE", name, false)
	if t.by == "name" {
		title = p.Text(terminal.Reverse, title)
	} else {
		title = p.Text(terminal.Bold, title)
	}
	for _, c := range shown {
		label, right := strings.CutSuffix(c.title, ">")
		style := terminal.Bold
		if c.by == t.by && c.by != "" {
			style = terminal.Reverse
		}
		title += " " + p.Text(style, terminal.Pad(label, c.width, right))
	}
	out := []string{title}
	for _, q := range t.queues[min(t.offset, len(t.queues)):] {
		if len(out) == lines {
			break
		}
		line := terminal.Pad(show(q.Field("name")), name, false)
		for _, c := range shown {
			cell := terminal.Pad(c.show(q), c.width, strings.HasSuffix(c.title, ">"))
			if c.style != nil {
				cell = p.Text(c.style(q), cell)
			}
			line += " " + cell
		}
		out = append(out, line)
	}
	if len(t.queues) == 0 && len(out) < lines {
		out = append(out, p.Text(terminal.Dim, terminal.Fit("no queues", width)))
	}
	return out
}

// alike tells whether queues of different vhosts have one name.
func (t *top) alike() bool {
	seen := make(map[string]bool, len(t.queues))
	for _, q := range t.queues {
		name := q.Text("name")
		if seen[name] {
			return true
		}
		seen[name] = true
	}
	return false
}

// footer is the last line: the keys, or what is being typed.
func (t *top) footer(width int) string {
	p := t.app.paint
	if t.typing {
		return p.Text(terminal.Bold, terminal.Fit("filter: "+t.filter+"_", width))
	}
	var parts []string
	if t.held {
		parts = append(parts, "HELD")
	}
	if t.filter != "" {
		parts = append(parts, "filter "+terminal.Printable(t.filter))
	}
	parts = append(parts, "q quit")
	if len(t.queues) > 0 {
		parts = append(parts, fmt.Sprintf("%s-%s of %s", terminal.Number(int64(t.offset+1)), terminal.Number(int64(len(t.queues))), terminal.Plural(t.total, "queue")))
	}
	parts = append(parts, "every "+t.interval.String(), "r rate", "d depth", "u unacked", "b bytes", "n name", "/ filter", "space hold")
	return p.Text(terminal.Dim, terminal.Fit(strings.Join(parts, "  "), width))
}
