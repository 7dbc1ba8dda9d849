package peers

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// The README's section is between these.
const (
	sectionBegin = "<!-- figures: written by make bench-peers -->\n"
	sectionEnd   = "<!-- end of figures -->\n"
)

// WriteSection writes the section anew in a file that has a place for it.
func (r *Results) WriteSection(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(text), sectionBegin)
	_, after, ok2 := strings.Cut(rest, sectionEnd)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no place for the figures", name)
	}
	return os.WriteFile(name, []byte(before+sectionBegin+r.Section()+sectionEnd+after), 0o644)
}

// conditions are what the figures were measured on and with.
func (r *Results) conditions() []string {
	if len(r.Loads) == 0 {
		return []string{"Nothing has been measured."}
	}
	first, last := r.Loads[0].Began, r.Loads[0].Began
	var syncs []float64
	var versions []string
	runs := 0
	for _, l := range r.Loads {
		if l.Began.Before(first) {
			first = l.Began
		}
		if l.Began.After(last) {
			last = l.Began
		}
		syncs = append(syncs, l.Sync)
		if !slices.Contains(versions, l.Version) {
			versions = append(versions, l.Version)
		}
		for _, b := range l.Brokers {
			runs = max(runs, len(b.Samples))
		}
	}
	slices.Sort(syncs)
	days := first.Format("2006-01-02")
	if to := last.Format("2006-01-02"); to != days {
		days += " to " + to
	}
	names := []string{"Leveret " + strings.Join(versions, " and ")}
	for _, b := range []struct{ name, title string }{{classic, "RabbitMQ"}, {jet, "NATS"}} {
		if v := r.Versions[b.name]; v != "" {
			names = append(names, b.title+" "+v)
		}
	}
	medians := "One run of each"
	if runs > 1 {
		medians = fmt.Sprintf("Medians of %d runs", runs)
	}
	for _, l := range r.Loads {
		if l.Scale != 1 {
			medians = "A trial of other lengths: " + medians
			break
		}
	}
	return []string{
		fmt.Sprintf("%s; one fdatasync of 4 KiB %s.", r.Machine, millis.format(syncs[len(syncs)/2])),
		fmt.Sprintf("%s; %s. %s in turn; the load generator has the same cores.", days, strings.Join(names, "; "), medians),
	}
}

// confirmsEarly marks brokers that confirm before a message is on disk.
var confirmsEarly = map[string]string{classic: " ¹", jet: " ¹"}

const introduction = `Leveret beside RabbitMQ, NATS JetStream and its own **ceiling**, a broker that parses,
forwards, writes what it has read to a file and calls ` + "`fdatasync`" + ` once a group before it
confirms, and does nothing else: what keeps the same promise is no faster. Messages are
persistent, in durable queues, confirmed when they are on disk and acked, unless a line
says otherwise.

`

const notes = `
¹ Confirms before the message is on disk; "synced" is JetStream with ` + "`sync_interval: always`" + `.
Peers, which are too slow for such numbers, had fewer messages, bindings, connections and
queues, and 2,000 messages a second where Leveret had 20,000:
[bench/results](bench/results/peers.json) has every command line and sample. Compare within a
line; such machines differ from day to day. ` + "`make bench-peers`" + ` measures it again.
`

// Section is the README's section.
func (r *Results) Section() string {
	var b strings.Builder
	b.WriteString("\n" + introduction)
	for _, s := range r.conditions() {
		b.WriteString(s + "\n")
	}
	lines := r.lines()
	var beside []string
	for _, p := range Peers() {
		if slices.ContainsFunc(lines, func(l line) bool { return l.peers[p] > 0 }) {
			beside = append(beside, p)
		}
	}
	b.WriteString("\n| | Leveret | | must reach |")
	for _, p := range beside {
		fmt.Fprintf(&b, " %s%s |", brokerOf(p).title, confirmsEarly[p])
	}
	b.WriteString("\n|---|---|---|---|" + strings.Repeat("---|", len(beside)) + "\n")
	for _, l := range lines {
		verdict := "✓"
		if !l.reached {
			verdict = "**not reached**"
		}
		fmt.Fprintf(&b, "| %s | **%s** | %s | %s %s |", l.title, l.unit.format(l.is), l.comparison(), l.aim(), verdict)
		for _, p := range beside {
			fmt.Fprintf(&b, " %s |", l.unit.format(l.peers[p]))
		}
		b.WriteByte('\n')
	}
	b.WriteString(r.costs(beside))
	if v := r.median("flow-100", nullSync, brokerCPU); v > 0 {
		fmt.Fprintf(&b, "\nThe ceiling's own processor time at 100 B is %s a message, without `fdatasync` %s.\n", micros.format(v), micros.format(r.median("flow-100", null, brokerCPU)))
	}
	b.WriteString(notes + "\n")
	return b.String()
}

// costly are the loads of which processor time and memory are shown.
var costly = []struct{ title, load string }{
	{"flow of 100 B", "flow-100"},
	{"flow of 1 KiB", "flow-1k"},
	{"flow of 16 KiB", "flow-16k"},
	{"64 publishers on 64 queues", "many"},
	{"publish, no consumer", "backlog"},
	{"a publish to 10 queues", "fanout"},
}

// costs is the table of what messages cost the brokers.
func (r *Results) costs(beside []string) string {
	var b strings.Builder
	columns := append([]string{leveret, nullSync}, beside...)
	b.WriteString("\n| broker's processor time a message, resident memory at most |")
	for _, c := range columns {
		fmt.Fprintf(&b, " %s |", brokerOf(c).title)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for _, w := range costly {
		if r.load(w.load) == nil {
			continue
		}
		fmt.Fprintf(&b, "| %s |", w.title)
		for _, c := range columns {
			cost := "—"
			if v := r.median(w.load, c, brokerCPU); v > 0 {
				cost = micros.format(v) + ", " + megabytes.format(r.median(w.load, c, peak))
			}
			fmt.Fprintf(&b, " %s |", cost)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
