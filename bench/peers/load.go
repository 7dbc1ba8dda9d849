package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/leveret-mq/leveret/bench"
	"github.com/leveret-mq/leveret/internal/peer"
)

// as is the name of its figures.
func (l *load) as(m measure) string {
	if l.name != "" {
		return l.name
	}
	return m.name
}

var scaled = regexp.MustCompile(`\{(\d+)\}`)

// command is what leveret bench is told, but for where the broker is.
func (l *load) command(b *broker, scale float64, dir string) []string {
	text := l.args
	if b.peer {
		text += " " + l.brief
	}
	text = strings.Join([]string{text, b.args, l.by[b.name]}, " ")
	text = scaled.ReplaceAllStringFunc(text, func(n string) string {
		v, _ := strconv.ParseFloat(n[1:len(n)-1], 64)
		return strconv.Itoa(max(1, int(v*scale)))
	})
	return last(strings.Fields(strings.ReplaceAll(text, "{dir}", dir)))
}

// last leaves of an option that is given twice what counts, the last.
func last(args []string) []string {
	var short []string
	for i := 0; i < len(args); i++ {
		option := strings.HasPrefix(args[i], "-")
		value := option && i+1 < len(args) && (!strings.HasPrefix(args[i+1], "-") || args[i+1] == "-1")
		if !value {
			short = append(short, args[i])
			continue
		}
		if at := slices.Index(short, args[i]); at >= 0 {
			short[at+1] = args[i+1]
		} else {
			short = append(short, args[i], args[i+1])
		}
		i++
	}
	return short
}

// run is one run of leveret bench.
func (s *session) run(ctx context.Context, at *peer.Broker, command []string) (Sample, error) {
	args := append(append([]string{"bench"}, command...), "--json", "--pid", strconv.Itoa(at.PID()), "-h", at.URL)
	cmd := exec.CommandContext(ctx, s.Leveret, args...)
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	if err := cmd.Run(); err != nil {
		return Sample{}, fmt.Errorf("%w: %s", err, strings.TrimSpace(words.String()))
	}
	var a struct{ Result bench.Result } // as bench/cli prints it
	if err := json.Unmarshal(out.Bytes(), &a); err != nil {
		return Sample{}, err
	}
	r, floor := &a.Result, 0.0
	if r.Floor != nil {
		floor = round(r.Floor.Milliseconds)
	}
	return Sample{
		Seconds: round(r.Seconds), Published: round(r.PublishRate), Consumed: round(r.ConsumeRate),
		Confirm: quantilesOf(r.Confirm), Delivery: quantilesOf(r.Delivery),
		BrokerCPU: round(r.BrokerCPU), ClientCPU: round(r.ClientCPU),
		Peak: float64(max(r.BrokerPeakRSS, r.BrokerRSS)), Each: round(r.MemoryEach), Floor: floor,
	}, nil
}

func quantilesOf(l bench.Latencies) Quantiles {
	return Quantiles{round(l.P50), round(l.P99), round(l.P999)}
}

// round keeps four digits: the figures have fewer.
func round(v float64) float64 {
	v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
	return v
}
