package figures

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// stub is a binary that has a version and nothing else: no row here needs the
// broker. (Never the test's own binary: it would run the test, that again …)
func stub(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "leveret")
	if err := os.WriteFile(name, []byte("#!/bin/sh\necho leveret 1.2.3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestTheEnginesRowsAreMeasured(t *testing.T) {
	binary := stub(t)
	var progress bytes.Buffer
	r, err := Run(t.Context(), Config{
		Binary: binary, Dir: t.TempDir(), Scale: 0.0005, Runs: 1, Only: regexp.MustCompile("^(drain|log|thinned)$"), Progress: &progress,
	})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := r.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"64 appenders", "1 appender of", "draining 5,000 × 100 B", "must reach", "after compaction", "SCALE 0.0005", "leveret 1.2.3", "fdatasync"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report does not say %q:\n%s", want, out.String())
		}
	}
	if len(r.Rows) != 4 || !strings.Contains(progress.String(), "drain …") {
		t.Errorf("%d rows; told was %q", len(r.Rows), progress.String())
	}
	for _, row := range r.Rows {
		if row.Value <= 0 {
			t.Errorf("%s: %v", row.Measure, row.Value)
		}
	}
}

func TestWhatCannotBeMeasuredIsRefused(t *testing.T) {
	self := stub(t)
	for name, c := range map[string]Config{
		"no binary": {Binary: "/nowhere/leveret", Scale: 1, Runs: 1},
		"no scale":  {Binary: self, Runs: 1},
		"no runs":   {Binary: self, Scale: 1},
	} {
		if _, err := Run(t.Context(), c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestFigures(t *testing.T) {
	if got := median([]time.Duration{30, 10, 20}); got != 20 {
		t.Errorf("median %v", got)
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is %s", n, got)
		}
	}
	r := Report{Rows: []Row{most("a", 1, 2, "", "<2", ""), most("b", 3, 2, "", "<2", ""), least("c", 3, 2, "", ">2", ""), {Measure: "d"}}}
	if r.Missed() != 1 {
		t.Errorf("%d missed", r.Missed())
	}
}
