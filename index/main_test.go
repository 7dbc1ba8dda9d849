package index

import (
	"flag"
	"os"
	"testing"
)

// TestMain makes the model tests long enough to matter; the flags still say
// otherwise where they are given.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.steps" })
	if !given {
		flag.Set("rapid.steps", "100")
	}
	os.Exit(m.Run())
}

// take claims the message that comes next, which is not in a run.
func take(q *Queue) {
	seq, e, _ := q.Peek()
	q.Take(seq, e)
}
