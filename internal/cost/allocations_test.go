//go:build !race

package cost

import (
	"testing"

	"github.com/leveret-mq/leveret/internal/brokertest"
)

// most is how many allocations of reads, commits and writes may fall to a message.
const most = 0.02

func TestNothingIsAllocatedAMessage(t *testing.T) {
	for _, f := range flows {
		t.Run(f.name, func(t *testing.T) {
			r := f.start(t, startBroker(t, brokertest.Options{}))
			for range 50 {
				r.step()
			}
			n := testing.AllocsPerRun(100, r.step)
			t.Logf("%v allocations in %d messages", n, r.messages())
			if n > most*float64(r.messages())+f.allocs {
				t.Errorf("%v allocations in %d messages", n, r.messages())
			}
		})
	}
}
