package peers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/leveret-mq/leveret/bench/machine"
)

// Results are what runs have measured, all on one machine.
type Results struct {
	Machine machine.Machine `json:"machine"`
	// Versions are of the brokers, by name.
	Versions map[string]string `json:"versions"`
	Loads    []Load            `json:"loads"`
}

// Load is what one load measured.
type Load struct {
	Name    string    `json:"name"`
	Began   time.Time `json:"began"`
	Took    float64   `json:"took_s"`
	Version string    `json:"version"` // of Leveret
	Scale   float64   `json:"scale"`
	// LoadAverage is of one minute before it. Sync is the median of fdatasync of 4 KiB
	// just then.
	LoadAverage string  `json:"load_average"`
	Sync        float64 `json:"sync_ms"`
	Brokers     []Runs  `json:"brokers"`
}

// Runs are one broker's.
type Runs struct {
	Broker  string   `json:"broker"`
	Command string   `json:"command"`
	Samples []Sample `json:"samples,omitempty"`
	Failure string   `json:"failure,omitempty"`
}

// Sample is what came out of one run. Rates are a second.
type Sample struct {
	Seconds   float64   `json:"seconds"`
	Published float64   `json:"published,omitempty"` // and, with confirms, confirmed; or operations
	Consumed  float64   `json:"consumed,omitempty"`
	Confirm   Quantiles `json:"confirm_ms,omitzero"`
	Delivery  Quantiles `json:"delivery_ms,omitzero"`
	// Processor time in microseconds, of a message published or, without any, consumed.
	BrokerCPU float64 `json:"broker_cpu_us,omitempty"`
	ClientCPU float64 `json:"client_cpu_us,omitempty"`
	// Peak is the broker's resident memory at its most, Each the memory of one of the
	// objects that were made, in bytes.
	Peak float64 `json:"peak_bytes,omitempty"`
	Each float64 `json:"each_bytes,omitempty"`
	// Floor is one fdatasync and one round trip on loopback, in milliseconds.
	Floor float64 `json:"floor_ms,omitempty"`
}

// Quantiles are of a latency.
type Quantiles struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
}

// load finds one by name.
func (r *Results) load(name string) *Load {
	if i := slices.IndexFunc(r.Loads, func(l Load) bool { return l.Name == name }); i >= 0 {
		return &r.Loads[i]
	}
	return nil
}

// median is a figure's, of a broker's runs of a load; 0 where there are none.
func (r *Results) median(load, broker string, value func(Sample) float64) float64 {
	l := r.load(load)
	if l == nil {
		return 0
	}
	var v []float64
	for _, b := range l.Brokers {
		if b.Broker == broker {
			for _, s := range b.Samples {
				v = append(v, value(s))
			}
		}
	}
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// Merge puts newer results in the place of those with the same names, and keeps the
// others if they are of the same machine.
func (r *Results) Merge(newer *Results) {
	if r.Machine != newer.Machine {
		*r = Results{Machine: newer.Machine}
	}
	if r.Versions == nil {
		r.Versions = map[string]string{}
	}
	for name, v := range newer.Versions {
		r.Versions[name] = v
	}
	for _, l := range newer.Loads {
		if old := r.load(l.Name); old != nil {
			*old = l
		} else {
			r.Loads = append(r.Loads, l)
		}
	}
	at := map[string]int{}
	for _, m := range measures {
		for _, l := range m.loads {
			at[l.as(m)] = len(at) + 1
		}
	}
	r.Loads = slices.DeleteFunc(r.Loads, func(l Load) bool { return at[l.Name] == 0 })
	slices.SortFunc(r.Loads, func(a, b Load) int { return at[a.Name] - at[b.Name] })
}

// Read reads results from a file; a file that is not there has none.
func Read(name string) (*Results, error) {
	r := &Results{}
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(text, r)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

// Write writes results to a file.
func (r *Results) Write(name string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644)
}
