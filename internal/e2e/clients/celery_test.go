package clients

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// celery is a worker and what its callers need to know of it.
type celery struct {
	worker *program
	env    []string
}

// startCelery starts a worker and returns once it has subscribed. The backend is where the
// results go, a URL as Celery has them.
func startCelery(t *testing.T, url, backend string, args ...string) celery {
	t.Helper()
	queue := uniqueQueue(t, url, "celery")
	c := celery{env: []string{
		"CELERY_BROKER=" + url, "CELERY_BACKEND=" + backend, "CELERY_QUEUE=" + queue,
		"PYTHONPATH=testdata", "PYTHONDONTWRITEBYTECODE=1",
		"C_FORCE_ROOT=1", // it warns a root user
	}}
	command := []string{debianPython, "-m", "celery", "--app", "celery_tasks", "worker", "--loglevel=INFO", "--hostname=" + queue}
	c.worker = spawn(t, c.env, append(command, args...)...)
	for c.worker.line(t) != "ready" { // before that it prints what it is
	}
	return c
}

// call runs a step of testdata/celery_client.py.
func (c celery) call(t *testing.T, args ...string) *program {
	t.Helper()
	return spawn(t, c.env, append([]string{debianPython, "testdata/celery_client.py"}, args...)...)
}

func (c celery) expect(t *testing.T, step string, want ...string) {
	t.Helper()
	if got := c.call(t, step).rest(t); !slices.Equal(got, want) {
		t.Errorf("printed %q\nwant    %q", got, want)
	}
}

func TestClientCeleryWithResultsOverTheBroker(t *testing.T) {
	t.Parallel()
	c := startCelery(t, brokerURL(t), "rpc://", "--concurrency=2")
	t.Run("task", func(t *testing.T) {
		c.expect(t, "task", "add 5", "group [0, 2, 4, 6, 8]", "chain 10", "broken ValueError('broken for good')")
	})
	t.Run("retry", func(t *testing.T) {
		c.expect(t, "retry", "retries 2 early False", "countdown kept")
	})
	t.Run("control", func(t *testing.T) {
		c.expect(t, "control", "pong ['pong']", "queues [True]", "revoked")
	})
}

func TestClientCeleryChord(t *testing.T) {
	t.Parallel()
	// Results over the broker cannot join a chord: Celery wants them where all can read them.
	c := startCelery(t, brokerURL(t), "file://"+t.TempDir(), "--pool=threads", "--concurrency=4")
	c.expect(t, "chord", "chord 90")
}

func TestCeleryWorkerOutlivesAKilledBroker(t *testing.T) {
	t.Parallel()
	b := killable(t)
	c := startCelery(t, b.url(), "file://"+t.TempDir(), "--concurrency=2")
	release := filepath.Join(t.TempDir(), "release")
	caller := c.call(t, "restart", release)
	if line := caller.line(t); line != "sent" {
		t.Fatalf("printed %q, want sent", line)
	}
	b.Kill()
	must(t, b.start())
	must(t, os.WriteFile(release, nil, 0o644))
	caller.say(t, "go on")
	want := []string{"held found", "waiting [1, 2, 3, 4, 5]", "after 42"}
	if got := caller.rest(t); !slices.Equal(got, want) {
		t.Errorf("after the restart printed %q\nwant %q", got, want)
	}
}
