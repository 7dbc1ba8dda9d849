package peers

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/leveret-mq/leveret/internal/peer"
)

const (
	resultsFile = "../results/peers.json"
	readmeFile  = "../../README.md"
)

func TestTheReadmeShowsTheResults(t *testing.T) {
	r, err := Read(resultsFile)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Loads) == 0 {
		t.Fatalf("%s has no results", resultsFile)
	}
	text, err := os.ReadFile(readmeFile)
	if err != nil {
		t.Fatal(err)
	}
	if want := sectionBegin + r.Section() + sectionEnd; !strings.Contains(string(text), want) {
		t.Error("README.md does not show bench/results: go run ./bench/cmd/peersbench -readme writes it anew")
	}
}

// Each row's figures have to come from somewhere.
func TestEveryRowIsMeasured(t *testing.T) {
	on := map[string][]string{}
	for _, m := range measures {
		for _, name := range m.on {
			brokerOf(name)
		}
		for _, l := range m.loads {
			on[l.as(m)] = slices.DeleteFunc(slices.Clone(m.on), func(b string) bool { return slices.Contains(l.not, b) })
		}
	}
	for _, w := range rows {
		if !slices.Contains(on[w.load], leveret) {
			t.Errorf("%s: load %s is not measured", w.title, w.load)
		}
		if (w.least > 0) == (w.most > 0) {
			t.Errorf("%s: neither or both of a least and a most", w.title)
		}
		if a := w.against; a != nil {
			load, broker := a.load, a.broker
			if load == "" {
				load = w.load
			}
			if broker == "" {
				broker = leveret
			}
			if !slices.Contains(on[load], broker) {
				t.Errorf("%s: %s is not measured with %s", w.title, broker, load)
			}
		}
	}
	for _, c := range costly {
		if on[c.load] == nil {
			t.Errorf("%s: load %s is not measured", c.title, c.load)
		}
	}
}

func TestCommandLinesAreScaledAndTheLastWordCounts(t *testing.T) {
	l := load{args: "flow -s 100 -C {5000} -c -1 -a --sync {dir}", brief: "-C {60}", by: map[string]string{quorum: "-u other"}}
	for _, c := range []struct {
		broker string
		scale  float64
		want   string
	}{
		{leveret, 1, "flow -s 100 -C 5000 -c -1 -a --sync /d"},
		{classic, 0.5, "flow -s 100 -C 30 -c -1 -a --sync /d"},
		{quorum, 0.001, "flow -s 100 -C 1 -c -1 -a --sync /d -qq -u other"},
	} {
		if got := strings.Join(l.command(brokerOf(c.broker), c.scale, "/d"), " "); got != c.want {
			t.Errorf("%s × %v: %q, want %q", c.broker, c.scale, got, c.want)
		}
	}
}

func TestFiguresHaveThreeDigits(t *testing.T) {
	for _, c := range []struct {
		v    float64
		u    unit
		want string
	}{
		{1234567, perSecond, "1,230,000/s"}, {999, perSecond, "999/s"}, {0.18449, millis, "0.18 ms"}, {12.345, millis, "12.3 ms"},
		{0.684, micros, "0.68 µs"}, {24 * 1024, kilobytes, "24.0 KiB"}, {55_100_000, megabytes, "55.1 MB"}, {0, perSecond, "—"},
	} {
		if got := c.u.format(c.v); got != c.want {
			t.Errorf("%v is %q, want %q", c.v, got, c.want)
		}
	}
}

func TestARunMeasuresEachBrokerInTurn(t *testing.T) {
	binary, err := peer.Build("../..", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	r, err := Run(t.Context(), Config{Leveret: binary, Dir: t.TempDir(), Scale: 0.001, Runs: 2, Only: regexp.MustCompile("^(backlog|transient)$"), Progress: &said})
	if err != nil {
		t.Fatal(err)
	}
	// 5,000 messages, published and drained; the null broker cannot be drained.
	for load, brokers := range map[string][]string{"backlog": {leveret, nullSync}, "drain": {leveret}, "transient": {leveret, null}} {
		l := r.load(load)
		if l == nil || len(l.Brokers) != len(brokers) {
			t.Fatalf("%s: %+v", load, l)
		}
		for i, b := range l.Brokers {
			if b.Broker != brokers[i] || len(b.Samples) != 2 || b.Samples[0].Published+b.Samples[0].Consumed == 0 || b.Samples[0].Peak == 0 {
				t.Errorf("%s: %+v", load, b)
			}
		}
	}
	var order []string
	for line := range strings.Lines(said.String()) {
		if f := strings.Fields(line); len(f) > 2 && strings.HasPrefix(line, "  ") && line[2] != ' ' && f[0] != "took" {
			order = append(order, f[0])
		}
	}
	if got := strings.Join(order[:4], " "); got != "leveret null leveret null" {
		t.Errorf("the turns are %q", got)
	}
}

func TestAFailureIsToldAndLeavesTheRest(t *testing.T) {
	name := filepath.Join(t.TempDir(), "leveret")
	if err := os.WriteFile(name, []byte("#!/bin/sh\necho no broker >&2; exit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), Config{Leveret: name, Dir: t.TempDir(), Scale: 0.001, Runs: 2, Only: regexp.MustCompile("^one$")})
	if err == nil || strings.Count(err.Error(), "no broker") != 2 {
		t.Errorf("the error is %v", err)
	}
	var out bytes.Buffer
	if err := r.WriteText(&out); err != nil || !strings.Contains(strings.Join(strings.Fields(out.String()), " "), "no broker") || r.Missed() != 1 {
		t.Errorf("%v, %d missed:\n%s", err, r.Missed(), &out)
	}
}

func TestAMeasureOfNoSuchNameIsRefused(t *testing.T) {
	_, err := Run(t.Context(), Config{Leveret: os.Args[0], Dir: t.TempDir(), Scale: 0.001, Runs: 1, Only: regexp.MustCompile("^(flow-200)$")})
	if err == nil || !strings.Contains(err.Error(), "flow-100") {
		t.Errorf("%v", err)
	}
}

func TestTheTablesFitATerminal(t *testing.T) {
	s := Sample{Published: 1234567, Consumed: 1234567, BrokerCPU: 123.4, ClientCPU: 123.4, Peak: 1e9, Each: 12345}
	s.Confirm.P50, s.Confirm.P99, s.Delivery.P99, s.Delivery.P999, s.Floor = 123.4, 1234, 1234, 1234, 123.4
	r := &Results{}
	for _, m := range measures {
		for _, l := range m.loads {
			of := Load{Name: l.as(m), Version: strings.Repeat("version ", 20)}
			for _, b := range brokers {
				of.Brokers = append(of.Brokers, Runs{Broker: b.name, Samples: []Sample{s}, Failure: strings.Repeat("it failed ", 20)})
			}
			r.Loads = append(r.Loads, of)
		}
	}
	var out bytes.Buffer
	if err := r.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, " \n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, w := range rows {
		if !strings.Contains(out.String(), "\n"+w.title+"\n") {
			t.Errorf("%q is not there", w.title)
		}
	}
	if !strings.Contains(out.String(), "RabbitMQ quorum 1,230,000/s;") {
		t.Errorf("the peers are not beside:\n%s", &out)
	}
}

// sampled are results in which each broker of a load has samples.
func sampled(load string, by map[string][]Sample) *Results {
	l := Load{Name: load}
	for broker, samples := range by {
		l.Brokers = append(l.Brokers, Runs{Broker: broker, Samples: samples})
	}
	return &Results{Loads: []Load{l}}
}

func TestARowIsReachedByTheRatioOfMedians(t *testing.T) {
	for _, c := range []struct {
		name    string
		is      []Sample
		reached bool
	}{
		{"at the bound", []Sample{{Consumed: 1}, {Consumed: 50}, {Consumed: 99}}, true},
		{"below", []Sample{{Consumed: 49}, {Consumed: 49}, {Consumed: 99}}, false},
	} {
		r := sampled("flow-100", map[string][]Sample{leveret: c.is, nullSync: {{Consumed: 100}, {Consumed: 1000}, {Consumed: 1}}})
		lines := r.lines()
		i := slices.IndexFunc(lines, func(l line) bool { return l.load == "flow-100" && l.against == ceiling })
		if i < 0 || lines[i].reached != c.reached {
			t.Errorf("%s: reached is not %v: %+v", c.name, c.reached, lines)
		}
	}
	r := sampled("flow-100", map[string][]Sample{leveret: {{Consumed: 100, BrokerCPU: 1}}})
	if n := r.Missed(); n != 1 {
		t.Errorf("%d rows are missed where the ceiling was not measured, want 1", n)
	}
}

func TestTheSectionTakesThePlaceOfTheOneBefore(t *testing.T) {
	dir := t.TempDir()
	page, file := filepath.Join(dir, "page.md"), filepath.Join(dir, "results.json")
	if err := os.WriteFile(page, []byte("before\n"+sectionBegin+"old\n"+sectionEnd+"after\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := sampled("one", map[string][]Sample{leveret: {{Confirm: Quantiles{P50: 0.15}, Floor: 0.125}}, classic: {{Confirm: Quantiles{P50: 0.5}}}})
	r.Loads[0].Scale = 1
	if err := r.Write(file); err != nil {
		t.Fatal(err)
	}
	r, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.WriteSection(page); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"before\n" + sectionBegin, sectionEnd + "after\n", "| **0.15 ms** | 0.50 ms |", "| 0.15 ms | 1.20 × one fdatasync and one round trip, 0.12 ms | ≤ 1.20 × ✓ |", "One run of each broker; "} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "old") || strings.Count(string(text), sectionBegin) != 1 {
		t.Errorf("the page is\n%s", text)
	}
}

// A median of fewer runs, and a failure, are not hidden.
func TestTheSectionTellsWhatIsMissing(t *testing.T) {
	one := Sample{Confirm: Quantiles{P50: 0.15}, Floor: 0.125}
	r := sampled("one", map[string][]Sample{leveret: {one, one, one}, classic: {one, one, one}})
	text := r.Section()
	if !strings.Contains(text, "Medians of 3 runs of each broker;") || strings.Contains(text, "failed") {
		t.Errorf("all is there, and the section is\n%s", text)
	}
	for i, b := range r.Loads[0].Brokers {
		if b.Broker == classic {
			r.Loads[0].Brokers[i].Samples = b.Samples[:2]
			r.Loads[0].Brokers[i].Failure = "broken\n pipe"
		}
	}
	text = r.Section()
	for _, want := range []string{"Medians of 2 to 3 runs of each broker;", "**one, " + classic + " failed: broken pipe**\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the section does not say %q:\n%s", want, text)
		}
	}
}

func TestNewerResultsTakeThePlaceOfOlderOnes(t *testing.T) {
	a := sampled("one", map[string][]Sample{leveret: {{Published: 1}}})
	a.Merge(sampled("flow-100", map[string][]Sample{leveret: {{Consumed: 2}}}))
	a.Merge(sampled("one", map[string][]Sample{leveret: {{Published: 3}}}))
	if len(a.Loads) != 2 || a.Loads[0].Name != "flow-100" || a.median("one", leveret, published) != 3 {
		t.Errorf("%+v", a.Loads)
	}
	b := sampled("many", nil)
	b.Machine.CPU = "another"
	if a.Merge(b); len(a.Loads) != 1 {
		t.Errorf("figures of two machines stand together: %+v", a.Loads)
	}
}
