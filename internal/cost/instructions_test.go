//go:build linux && amd64 && !race

package cost

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/brokertest"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
)

const (
	figuresFile = "figures.tsv"
	profiles    = "../../bin/cost" // of the flows, for callgrind_annotate
	update      = "COST_UPDATE"    // an environment variable: the figures are taken anew
)

// tolerance is how far from its figure a count may be.
const tolerance = 0.10

// TestInstructionsAMessage compares what each flow takes with its figure.
func TestInstructionsAMessage(t *testing.T) {
	got := count(t)
	if os.Getenv(update) != "" {
		writeFigures(t, got)
		return
	}
	want, release := readFigures(t)
	for _, f := range flows {
		n, figure := got[f.name], want[f.name]
		t.Logf("%-16s %6.0f instructions a message, %+.1f %%", f.name, n, 100*(n/figure-1))
		if err := judge(n, figure); err != nil {
			t.Errorf("%s takes %v", f.name, err)
		}
	}
	for name := range want {
		if _, there := got[name]; !there {
			t.Errorf("%s has a figure and is no flow", name)
		}
	}
	if t.Failed() {
		t.Logf("callgrind_annotate bin/cost/NAME.out says where a flow's instructions go; where the change is meant, make cost and commit %s", figuresFile)
	}
	if release != runtime.Version() {
		t.Logf("the figures are of %s, this is %s: a new release is a reason to take them anew", release, runtime.Version())
	}
}

// judge tells what is wrong with a count.
func judge(n, figure float64) error {
	switch {
	case figure == 0:
		return fmt.Errorf("%.0f instructions a message, and has no figure", n)
	case n > figure*(1+tolerance):
		return fmt.Errorf("%.0f instructions a message, %.0f %% more than its figure of %.0f", n, 100*(n/figure-1), figure)
	case n < figure*(1-tolerance):
		return fmt.Errorf("%.0f instructions a message, %.0f %% less than its figure of %.0f: keep what is won", n, 100*(1-n/figure), figure)
	}
	return nil
}

func TestAFigureHoldsForATenthMoreOrLess(t *testing.T) {
	for n, good := range map[float64]bool{880: false, 901: true, 1000: true, 1099: true, 1120: false} {
		if err := judge(n, 1000); (err == nil) != good {
			t.Errorf("%v against 1000: %v", n, err)
		}
	}
	if judge(1000, 0) == nil {
		t.Error("a flow without a figure passes")
	}
}

// count runs TestEveryFlowGoesRound under callgrind and returns the instructions a
// message of each flow.
func count(t *testing.T) map[string]float64 {
	valgrind, err := exec.LookPath("valgrind")
	if err != nil {
		t.Fatal("valgrind is missing: make deps installs it")
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "cost.test")
	// The test binary that runs has no symbols: go test leaves them out.
	if out, err := exec.Command("go", "test", "-c", "-pgo=off", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("go test -c: %v\n%s", err, out)
	}
	out := filepath.Join(dir, "out")
	cmd := exec.Command(valgrind, "--tool=callgrind", "--callgrind-out-file="+out, "--dump-before=*cost.mark", "--dump-line=no",
		binary, "-test.run=^TestEveryFlowGoesRound$")
	// One processor, so that goroutines take turns in one order; no collection and no
	// preemption, which go by the clock.
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=off", "GODEBUG=asyncpreemptoff=1")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, text)
	}
	if err := os.MkdirAll(profiles, 0o755); err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for i, f := range flows {
		// Each flow has two marks: what is before the first is its setup.
		profile, err := os.ReadFile(fmt.Sprintf("%s.%d", out, 2*i+2))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(profiles, f.name+".out"), profile, 0o644); err != nil {
			t.Fatal(err)
		}
		counts[f.name] = total(t, profile) / float64(f.rounds()*f.messages())
	}
	return counts
}

// total is the number of instructions in a profile.
func total(t *testing.T, profile []byte) float64 {
	for line := range bytes.Lines(profile) {
		if text, ok := bytes.CutPrefix(line, []byte("totals: ")); ok {
			n, err := strconv.ParseFloat(string(bytes.TrimSpace(text)), 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("a profile without a total")
	return 0
}

// TestEveryFlowGoesRound is what runs under callgrind.
func TestEveryFlowGoesRound(t *testing.T) {
	b := startBroker(t, brokertest.Options{Broker: broker.Options{Reserve: -1, Store: store.Options{FS: nowhere{vfs.NewMem()}}}})
	for _, f := range flows {
		r := f.start(t, b)
		for range f.rounds() / 2 {
			r.step()
		}
		mark()
		for range f.rounds() {
			r.step()
		}
		mark()
	}
}

// mark is where callgrind begins to count anew.
//
//go:noinline
func mark() {}

// rounds is how many a flow is counted for: enough that what a clock causes is little.
func (f *flow) rounds() int { return max(20, 4000/f.messages()) }

// nowhere is a file system whose files take what is written and keep nothing, once
// they are open: what the broker does is counted, not what a disk would.
type nowhere struct{ vfs.FS }

func (n nowhere) Create(name string) (vfs.File, error) { return sink(n.FS.Create(name)) }
func (n nowhere) OpenRW(name string) (vfs.File, error) { return sink(n.FS.OpenRW(name)) }

func sink(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return hole{f}, nil
}

type hole struct{ vfs.File }

func (hole) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (hole) Sync() error                            { return nil }

// readFigures returns the committed figures and the release of Go that they are of.
func readFigures(t *testing.T) (figures map[string]float64, release string) {
	f, err := os.Open(figuresFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	figures = map[string]float64{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "\t")
		if name == "go" {
			release = value
			continue
		}
		if figures[name], err = strconv.ParseFloat(value, 64); err != nil {
			t.Fatal(err)
		}
	}
	return figures, release
}

func writeFigures(t *testing.T, counts map[string]float64) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "go\t%s\n", runtime.Version())
	for _, f := range flows {
		fmt.Fprintf(&b, "%s\t%.0f\n", f.name, counts[f.name])
	}
	if err := os.WriteFile(figuresFile, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s:\n%s", figuresFile, b.Bytes())
}
