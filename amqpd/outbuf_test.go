package amqpd

import (
	"bytes"
	"io"
	"testing"

	"pgregory.net/rapid"
)

// Whatever mix of rooms and writes fills it, and however little the socket takes
// at a time, the bytes come out as they went in.
func TestOutBufKeepsTheStream(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var out outBuf
		var want, got []byte
		var flight outFlight
		fill := byte(0)
		some := func(t *rapid.T, limit int) []byte {
			p := make([]byte, rapid.IntRange(0, limit).Draw(t, "n"))
			for i := range p {
				fill += 7
				p[i] = fill
			}
			return p
		}
		t.Repeat(map[string]func(*rapid.T){
			"room": func(t *rapid.T) {
				p := some(t, 3000)
				out.commit(append(out.room(len(p)), p...))
				want = append(want, p...)
			},
			"large room": func(t *rapid.T) {
				p := some(t, 2*largePiece)
				out.commit(append(out.room(len(p)), p...))
				want = append(want, p...)
			},
			"write": func(t *rapid.T) {
				p := some(t, 3*largePiece)
				out.write(p)
				want = append(want, p...)
			},
			"take": func(t *rapid.T) {
				if flight.left() == 0 {
					flight.take(&out)
				}
			},
			"socket takes": func(t *rapid.T) {
				if flight.left() == 0 {
					return
				}
				all := bytes.Join(*flight.buffers(), nil)
				if len(all) != flight.left() || !bytes.HasPrefix(all, flight.first()) {
					t.Fatalf("%d bytes in the vector, %d left", len(all), flight.left())
				}
				n := rapid.IntRange(1, len(all)).Draw(t, "taken")
				got = append(got, all[:n]...)
				flight.advance(n)
			},
			"": func(t *rapid.T) {
				if out.size+flight.left()+len(got) != len(want) {
					t.Fatalf("%d waiting, %d in flight, %d out of %d", out.size, flight.left(), len(got), len(want))
				}
				if !bytes.HasPrefix(want, got) {
					t.Fatal("bytes came out changed")
				}
			},
		})
	})
}

func TestOutBufDoesNotAllocateAtSteadyState(t *testing.T) {
	var out outBuf
	var flight outFlight
	frame, body := make([]byte, 200), make([]byte, 30<<10)
	round := func() {
		for range 100 {
			out.commit(append(out.room(len(frame)), frame...))
		}
		out.write(body)
		flight.take(&out)
		flight.buffers().WriteTo(io.Discard)
		flight.advance(flight.left())
	}
	round()
	round()
	if n := testing.AllocsPerRun(100, round); n > 0.1 { // a collection may empty the pools
		t.Errorf("%v allocations", n)
	}
}
