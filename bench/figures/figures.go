package figures

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// Config says what to measure.
type Config struct {
	// Binary is the leveret to measure.
	Binary string
	// Dir is where data directories are made, each removed behind its figures.
	// It should be on the disk that is to be measured.
	Dir string
	// Scale multiplies all numbers of messages and queues: 1 gives the figures
	// that count, 0.01 a trial.
	Scale float64
	// Runs is how many samples a median is of.
	Runs int
	// Only selects measures by their name; nil takes all.
	Only *regexp.Regexp
	// Progress is told what is going on.
	Progress io.Writer
}

// Validate reports what cannot be measured.
func (c *Config) Validate() error {
	if _, err := os.Stat(c.Binary); err != nil {
		return fmt.Errorf("the broker's binary: %w", err)
	}
	switch {
	case c.Scale <= 0 || c.Scale > 100:
		return fmt.Errorf("scale %v is not between 0 and 100", c.Scale)
	case c.Runs < 1:
		return errors.New("at least one run")
	}
	return nil
}

// Measures lists what can be selected, in order.
var Measures = []struct {
	Name string
	run  func(*session, context.Context) error
}{
	{"log", (*session).logs},
	{"flow", (*session).flow},
	{"queues", (*session).queues},
	{"disk", (*session).disk},
	{"thinned", (*session).thinned},
	{"drain", (*session).drain},
	{"backlog", (*session).backlog},
}

// session is one run of the benchmark.
type session struct {
	Config
	rows []Row
}

// Run measures and returns the report. A measure that fails is a row of its own,
// and the error, beside the others.
func Run(ctx context.Context, c Config) (*Report, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Progress == nil {
		c.Progress = io.Discard
	}
	s := &session{Config: c}
	r := &Report{Conditions: conditions(ctx, &c), Began: time.Now()}
	var failed error
	for _, m := range Measures {
		if c.Only != nil && !c.Only.MatchString(m.Name) {
			continue
		}
		begin := time.Now()
		s.say("%s …", m.Name)
		if err := m.run(s, ctx); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", m.Name, err))
			s.add(Row{Measure: m.Name, Figure: "failed: " + err.Error()})
		}
		s.say("%s took %.0f s", m.Name, time.Since(begin).Seconds())
		if ctx.Err() != nil {
			break
		}
	}
	r.Rows, r.Took = s.rows, time.Since(r.Began)
	return r, failed
}

func (s *session) say(format string, args ...any) {
	fmt.Fprintf(s.Progress, format+"\n", args...)
}

func (s *session) add(r Row) {
	s.rows = append(s.rows, r)
	s.say("  %s: %s", r.Measure, r.Figure)
}

// count is a number of messages or queues at this scale.
func (s *session) count(n int) int { return max(1, int(float64(n)*s.Scale)) }

// room makes a directory for a measure, and returns what removes it.
func (s *session) room(name string) (dir string, remove func(), err error) {
	top, err := os.MkdirTemp(s.Dir, "storebench-"+name+"-")
	if err != nil {
		return "", nil, err
	}
	return filepath.Join(top, "data"), func() { os.RemoveAll(top) }, nil
}

// median is of what may be sorted.
func median[T int64 | float64 | time.Duration](v []T) T {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
