package broker

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

// Publishers whose messages may pass the store, and some that may not, and a queue whose
// consumers acknowledge nothing, take little at times, and are replaced: each message comes
// once, those of one publisher in the order in which they were published.
func TestEachMessageComesOnceAndInOrderOnWhicheverWay(t *testing.T) {
	for name, with := range map[string][]func(*QueueSpec){"durable": {durable}, "transient": {}, "single": {args("x-single-active-consumer", true)}} {
		for _, guests := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/guests=%t", name, guests), func(t *testing.T) {
				w := newBench(t)
				c, sink := w.client(), w.client()
				c.queue("q", with...)
				const publishers, batches = 3, 150
				sent := make([]int, publishers)
				var pubs, others sync.WaitGroup
				for p := range publishers {
					pub := w.client()
					rng := rand.New(rand.NewPCG(uint64(p), 1))
					pubs.Go(func() {
						n := 0
						for range batches {
							last := ""
							var one Publishing
							for range 1 + rng.IntN(1<<rng.IntN(9)) {
								props := transient
								if rng.IntN(50) == 0 {
									props = persistent
								}
								one.RoutingKey, one.Props = []byte("q"), props
								one.Body = fmt.Appendf(nil, "%d-%d", p, n)
								one.Again = last == string(props)
								one.Confirm = rng.IntN(2) == 0
								last = string(props)
								if rng.IntN(100) == 0 {
									one.RoutingKey, one.Again, last = []byte("nowhere"), false, ""
								} else {
									n++
								}
								if _, err := pub.b.Publish(&one); err != nil {
									t.Error(err)
								}
							}
							if _, err := pub.b.Flush(nil, rng.IntN(2) == 0); err != nil {
								t.Error(err)
							}
						}
						sent[p] = n
					})
				}
				stop := make(chan struct{})
				others.Go(func() { // the consumer, another one from time to time
					cons := sink.consume("q", 1, noAck)
					for {
						select {
						case <-stop:
							sink.mu.Lock()
							delete(sink.credit, cons)
							sink.mu.Unlock()
							cons.Touch()
							return
						default:
						}
						switch rand.IntN(20) {
						case 0:
							cons.Cancel()
							cons = sink.consume("q", rand.IntN(50), noAck)
						default:
							sink.mu.Lock()
							sink.credit[cons] += rand.IntN(1 << rand.IntN(10))
							sink.mu.Unlock()
							cons.Touch()
						}
					}
				})
				if guests { // who give back what they get
					others.Go(func() {
						guest := w.client()
						for {
							select {
							case <-stop:
								return
							default:
							}
							cons := guest.consume("q", 5)
							cons.Cancel()
							for _, m := range guest.take() {
								guest.b.Requeue(m.q, m.seq)
							}
							if _, err := guest.b.Flush(nil, false); err != nil {
								t.Error(err)
							}
						}
					})
				}
				pubs.Wait()
				close(stop)
				others.Wait()
				total := 0
				for _, n := range sent {
					total += n
				}
				var got []string
				waitFor(t, func() bool { got = append(got, sink.bodies()...); return len(got) >= total })
				seen := map[string]bool{}
				next := make([]int, publishers)
				for _, body := range got {
					if seen[body] {
						t.Errorf("%s came twice", body)
					}
					seen[body] = true
					var p, n int
					if _, err := fmt.Fscanf(strings.NewReader(body), "%d-%d", &p, &n); err != nil {
						t.Fatal(err)
					}
					if !guests && n != next[p] {
						t.Fatalf("%s came, want %d", body, next[p])
					}
					next[p]++
				}
				if len(got) != total || c.ready("q") != 0 {
					t.Errorf("%d messages came of %d, %d are left", len(got), total, c.ready("q"))
				}
			})
		}
	}
}
