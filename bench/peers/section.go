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
	least, most := 0, 0
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
			n := len(b.Samples)
			if most = max(most, n); n > 0 && (least == 0 || n < least) {
				least = n
			}
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
	medians := "One run of each broker"
	switch {
	case least < most:
		medians = fmt.Sprintf("Medians of %d to %d runs of each broker", least, most)
	case most > 1:
		medians = fmt.Sprintf("Medians of %d runs of each broker", most)
	}
	medians += "; the load generator has the same cores."
	for _, l := range r.Loads {
		if l.Scale != 1 {
			medians += " **A trial, with shorter runs.**"
			break
		}
	}
	return []string{
		fmt.Sprintf("%s: %s; one fdatasync of 4 KiB takes %s.", days, r.Machine, millis.format(syncs[len(syncs)/2])),
		strings.Join(names, "; ") + ".",
		medians,
	}
}

// confirmsEarly marks brokers that confirm before a message is on disk.
var confirmsEarly = map[string]string{classic: " ¹", jet: " ¹"}

const introduction = `Leveret beside RabbitMQ and NATS JetStream, in turn on one machine. Messages are
persistent, in durable queues, confirmed when they are on disk, and acked, unless a line
says otherwise.

`

const ceilings = `
And beside what the machine can do at all, with what Leveret is built to reach. The
**ceiling** is a broker that parses, forwards, writes what it has read to a file and calls
` + "`fdatasync`" + ` once a group before it confirms, and does nothing else. Where many messages are under way
no broker that keeps the same promise can be faster; where each waits for the one before,
it is a matter of who is woken when.

`

const notes = `
¹ Confirms before the message is on disk; "synced" is JetStream with ` + "`sync_interval: always`" + `.

² Peers, which are too slow for such numbers, had fewer messages, bindings, connections and
queues, and 2,000 messages a second.

Compare within a line; such machines differ from day to day.
[bench/results](bench/results/peers.json) has every command line and sample;
` + "`make bench-peers`" + ` measures it again.
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
	b.WriteString(besides(lines, beside))
	b.WriteString(ceilings)
	b.WriteString("| | Leveret | that is | to reach |\n|---|---|---|---|\n")
	for _, l := range lines {
		verdict := "✓"
		if !l.reached {
			verdict = "**not reached**"
		}
		if !l.measured() {
			verdict = "**not measured**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s %s |\n", l.title, l.unit.format(l.is), l.comparison(), l.aim(), verdict)
	}
	b.WriteString(r.costs(beside))
	for _, f := range r.failures() {
		b.WriteString("\n**" + f + "**\n")
	}
	b.WriteString(notes + "\n")
	return b.String()
}

// besides is the table of Leveret and its peers.
func besides(lines []line, beside []string) string {
	var b strings.Builder
	b.WriteString("\n| | Leveret |")
	for _, p := range beside {
		fmt.Fprintf(&b, " %s%s |", brokerOf(p).title, confirmsEarly[p])
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(beside)) + "\n")
	for _, l := range lines {
		if !slices.ContainsFunc(beside, func(p string) bool { return l.peers[p] > 0 }) {
			continue
		}
		mark := ""
		if eased(l.load) {
			mark = " ²"
		}
		fmt.Fprintf(&b, "| %s%s | **%s** |", l.title, mark, l.unit.format(l.is))
		for _, p := range beside {
			fmt.Fprintf(&b, " %s |", l.unit.format(l.peers[p]))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// eased tells whether peers have less to do in a load.
func eased(name string) bool {
	return slices.ContainsFunc(measures, func(m measure) bool {
		return slices.ContainsFunc(m.loads, func(l load) bool { return l.as(m) == name && l.eased() })
	})
}

// costly are the loads of which processor time and memory are shown.
var costly = []cost{
	{"flow of 100 B", "flow-100"},
	{"flow of 1 KiB", "flow-1k"},
	{"flow of 16 KiB", "flow-16k"},
	{"64 publishers on 64 queues", "many"},
	{"publish, no consumer", "backlog"},
	{"a publish to 10 queues", "fanout"},
}

type cost struct{ title, load string }

// costs is the table of what messages cost the brokers.
func (r *Results) costs(beside []string) string {
	if !slices.ContainsFunc(costly, func(w cost) bool { return r.load(w.load) != nil }) {
		return ""
	}
	var b strings.Builder
	columns := append([]string{leveret, null, nullSync}, beside...)
	b.WriteString("\n| the broker's processor time a message, its resident memory at most |")
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
