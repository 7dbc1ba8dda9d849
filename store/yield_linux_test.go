package store

import (
	"io"
	"net"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
)

// Whoever waits for the network waits for a few calls of giveWay, and not for the
// runtime's monitor, though the only processor is never without work.
func TestGiveWayLooksAtTheNetwork(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	echoed := make(chan struct{})
	go func() {
		defer close(echoed)
		io.Copy(far, far)
		far.Close()
	}()
	var calls, sum atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			for i := range uint64(20_000) {
				sum.Add(i)
			}
			calls.Add(1)
			giveWay()
		}
	}()
	var took []uint64
	b := make([]byte, 1)
	for range 41 {
		before := calls.Load()
		if _, err := near.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(near, b); err != nil {
			t.Fatal(err)
		}
		took = append(took, calls.Load()-before)
	}
	close(stop)
	<-stopped
	near.Close()
	<-echoed
	slices.Sort(took)
	// One look brings the echo what was written, another one the answer.
	if m := took[len(took)/2]; m > 4*lookEvery {
		t.Errorf("a byte and its echo took %d calls of giveWay in the median (all: %d)", m, took)
	}
}

// Many may give way at once.
func TestManyGiveWay(t *testing.T) {
	done := make(chan struct{})
	for range 8 {
		go func() {
			for range 500 {
				giveWay()
			}
			done <- struct{}{}
		}()
	}
	for range 8 {
		<-done
	}
}
