package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/internal/e2e/child"
)

// debian finds a program of Debian's package prometheus: installed, or unpacked by
// install-clients.
func debian(t testing.TB, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	path, err := filepath.Abs(filepath.Join("prometheus", name))
	must(t, err)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("there is no %s: make deps", name)
	}
	return path
}

// promtool runs Prometheus' checker in a folder, which must be content and, where
// silent is set, have nothing to say.
func promtool(t testing.TB, folder string, stdin io.Reader, silent bool, args ...string) {
	t.Helper()
	cmd := exec.Command(debian(t, "promtool"), args...)
	cmd.Dir, cmd.Stdin = folder, stdin
	out, err := cmd.CombinedOutput()
	if err != nil || silent && len(out) > 0 {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// prometheus is a running server.
type prometheus struct {
	t    testing.TB
	addr string
}

// startPrometheus runs one until the test ends. Its log is shown where that fails.
func startPrometheus(t testing.TB, config string) *prometheus {
	t.Helper()
	addr, err := child.FreeAddr()
	must(t, err)
	dir := t.TempDir()
	file, logFile := filepath.Join(dir, "prometheus.yml"), filepath.Join(dir, "log")
	must(t, os.WriteFile(file, []byte(config), 0o644))
	log, err := os.Create(logFile)
	must(t, err)
	defer log.Close()
	cmd := exec.Command(debian(t, "prometheus"), "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr)
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(logFile)
			t.Logf("the log of Prometheus:\n%s", text)
		}
	})
	p := &prometheus{t, addr}
	p.await("Prometheus", func() error {
		r, err := http.Get("http://" + addr + "/-/ready")
		if err != nil {
			return err
		}
		defer r.Body.Close()
		if r.StatusCode != 200 {
			return fmt.Errorf("status %d", r.StatusCode)
		}
		return nil
	})
	return p
}

// await calls again until there is no error.
func (p *prometheus) await(what string, again func() error) {
	p.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		err := again()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// get asks the server's API.
func (p *prometheus) get(path string, query url.Values, data any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+p.addr+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	answer := struct {
		Status, Error string
		Warnings      []string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %d: %w", path, r.StatusCode, err)
	}
	if answer.Status != "success" || len(answer.Warnings) > 0 {
		return fmt.Errorf("%s: %s %q", answer.Status, answer.Error, answer.Warnings)
	}
	return nil
}

// query returns the values that PromQL leads to, without those that are no number.
func (p *prometheus) query(expr string) ([]float64, error) {
	var data struct {
		ResultType string
		Result     []struct{ Value [2]any }
	}
	if err := p.get("/api/v1/query", url.Values{"query": {expr}}, &data); err != nil {
		return nil, err
	}
	var values []float64
	for _, r := range data.Result {
		text, _ := r.Value[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, err
		}
		if !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	return values, nil
}

// awaitScrapes returns when each job has been scraped so often, and all went well.
func (p *prometheus) awaitScrapes(jobs, times int) {
	p.t.Helper()
	p.await("scrapes", func() error {
		values, err := p.query(fmt.Sprintf("count_over_time(up[5m]) >= %d and sum_over_time(up[5m]) == count_over_time(up[5m])", times))
		if err == nil && len(values) < jobs {
			up, _ := p.query("up")
			err = fmt.Errorf("%d of %d jobs, up %v", len(values), jobs, up)
		}
		return err
	})
}

// rules returns the state of each alert, by name, and fails where one could not be
// worked out.
func (p *prometheus) rules() (map[string]string, error) {
	var data struct {
		Groups []struct {
			Rules []struct{ Name, State, Health, LastError string }
		}
	}
	if err := p.get("/api/v1/rules", nil, &data); err != nil {
		return nil, err
	}
	states := map[string]string{}
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			if r.Health != "ok" {
				return nil, fmt.Errorf("%s is %s: %s", r.Name, r.Health, r.LastError)
			}
			states[r.Name] = r.State
		}
	}
	return states, nil
}
