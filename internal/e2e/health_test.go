package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// health asks the broker how it is.
func (p *process) health(t testing.TB) (code int, status, alarm string) {
	t.Helper()
	_, rest, ok := strings.Cut(p.ReadyLine(), " http=")
	if !ok {
		t.Fatalf("no HTTP listener in %q", p.ReadyLine())
	}
	addr, _, _ := strings.Cut(rest, " ")
	r, err := http.Get("http://" + addr + "/health")
	must(t, err)
	defer r.Body.Close()
	var answer struct{ Status, Alarm string }
	must(t, json.NewDecoder(r.Body).Decode(&answer))
	return r.StatusCode, answer.Status, answer.Alarm
}

func TestHealthOfARunningBroker(t *testing.T) {
	dir := t.TempDir()
	p := startBroker(t, dir)
	if code, status, alarm := p.health(t); code != 200 || status != "ok" || alarm != "" {
		t.Errorf("%d %s %q, want all well", code, status, alarm)
	}
	status, err := p.Terminate()
	must(t, err)
	if status != 0 {
		t.Errorf("stopped with status %d", status)
	}

	// A broker that wants more room than any disk has holds publishers up.
	p = startBroker(t, dir, "--disk-free-limit", "1000000TiB")
	if code, status, alarm := p.health(t); code != 200 || status != "blocked" || alarm != "low on disk" {
		t.Errorf("%d %s %q, want the alarm", code, status, alarm)
	}
}

func TestNoHealthWhereNoneIsWanted(t *testing.T) {
	p := startBroker(t, t.TempDir(), "--http-addr", "")
	if line := p.ReadyLine(); !strings.Contains(line, `http=""`) {
		t.Errorf("%s", line)
	}
}
