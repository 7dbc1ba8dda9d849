package tlsio

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/internal/certs/certtest"
)

// pair is a TCP connection's two ends.
func pair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if near, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		near.Close()
		far.Close()
	})
	return near, far
}

// record is one as the wire has it, with n bytes behind its header.
func record(n int) []byte {
	b := bytes.Repeat([]byte{byte(n)}, recordHeader+n)
	copy(b, []byte{23, 3, 3, byte(n >> 8), byte(n)})
	return b
}

// TestReadsEndWithRecords has records that come in pieces of all sizes, and reads that
// are smaller and larger than them.
func TestReadsEndWithRecords(t *testing.T) {
	near, far := pair(t)
	rng := rand.New(rand.NewPCG(1, 2))
	var sent []byte
	ends := map[int]bool{}
	for range 400 {
		n := rng.IntN(17 << 10)
		if rng.IntN(3) == 0 {
			n = rng.IntN(4)
		}
		sent = append(sent, record(n)...)
		ends[len(sent)] = true
	}
	go func() {
		rng := rand.New(rand.NewPCG(3, 4))
		for b := sent; len(b) > 0; {
			n := min(len(b), 1+rng.IntN(1<<rng.IntN(18)))
			if _, err := near.Write(b[:n]); err != nil {
				return
			}
			b = b[n:]
		}
		near.Close()
	}()
	c := New(far)
	var got []byte
	wholes := 0
	for {
		whole := c.whole()
		if whole {
			if wholes++; !ends[len(got)] && len(got) > 0 {
				t.Fatal("a record of which a part has been read is called whole")
			}
			far.SetReadDeadline(time.Unix(1, 0)) // whoever waits fails
		}
		for first := true; first || whole && !ends[len(got)]; first = false {
			p := make([]byte, 1+rng.IntN(20<<10))
			n, err := c.Read(p)
			if err == io.EOF {
				if !bytes.Equal(got, sent) {
					t.Fatalf("%d bytes of %d have come, or others", len(got), len(sent))
				}
				if wholes == 0 {
					t.Error("no record was there as a whole")
				}
				return
			}
			if err != nil {
				t.Fatalf("after %d bytes, whole %t: %v", len(got), whole, err)
			}
			for at := len(got) + 1; at < len(got)+n; at++ {
				if ends[at] {
					t.Fatalf("a read goes beyond the record that ends at %d", at)
				}
			}
			got = append(got, p[:n]...)
		}
		far.SetReadDeadline(time.Time{})
	}
}

func TestAWaitHoldsNoBuffer(t *testing.T) {
	near, far := pair(t)
	c := New(far)
	for _, n := range []int{0, 1, recordHeader - 1, recordHeader, 200} {
		one := record(300)
		near.Write(one[:n])
		got := make([]byte, 0, len(one))
		p := make([]byte, len(one))
		for len(got) < n && n >= recordHeader {
			m, err := c.Read(p)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, p[:m]...)
		}
		// The socket is dry when a read waits, and fails, for the rest.
		for deadline := time.Now().Add(5 * time.Second); ; {
			far.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := c.Read(p); err == nil {
				t.Fatal("bytes that were not sent")
			}
			if n >= recordHeader || c.kept == n {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d bytes of %d have come", c.kept, n)
			}
		}
		if c.in != nil {
			t.Errorf("after %d bytes of a record a buffer is held", n)
		}
		far.SetReadDeadline(time.Time{})
		near.Write(one[n:])
		for len(got) < len(one) {
			m, err := c.Read(p)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, p[:m]...)
		}
		if !bytes.Equal(got, one) {
			t.Errorf("cut after %d bytes a record is another", n)
		}
	}
}

// sink counts writes.
type sink struct {
	net.Conn
	writes [][]byte
	err    error
}

func (s *sink) Write(b []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	s.writes = append(s.writes, bytes.Clone(b))
	return len(b), nil
}

func TestGatheredRecordsAreOneWrite(t *testing.T) {
	s := &sink{}
	c := New(s)
	c.Write(record(1))
	if len(s.writes) != 1 {
		t.Fatal("without Gather a write is held back")
	}
	var want []byte
	c.Gather()
	for _, n := range []int{1000, 2000, 3000} {
		c.Write(record(n))
		want = append(want, record(n)...)
	}
	if len(s.writes) != 1 {
		t.Fatal("a write before Flush")
	}
	if err := c.Flush(); err != nil || len(s.writes) != 2 || !bytes.Equal(s.writes[1], want) {
		t.Fatalf("%d writes, %v", len(s.writes), err)
	}
	c.Write(record(2))
	if len(s.writes) != 3 || c.out != nil {
		t.Error("after Flush a write is held back")
	}

	// Much goes on its way before Flush, and in order, what is too large for the
	// buffer too.
	s.writes, want = nil, nil
	c.Gather()
	for _, n := range []int{100, recordMost, 16 << 10, 16 << 10, 16 << 10, 16 << 10, 5} {
		c.Write(record(n))
		want = append(want, record(n)...)
	}
	if n := len(s.writes); n < 3 || c.n > outMost {
		t.Errorf("%d writes, %d bytes are held back", n, c.n)
	}
	c.Flush()
	if got := bytes.Join(s.writes, nil); !bytes.Equal(got, want) {
		t.Error("the order is another")
	}

	broken := errors.New("broken")
	s.err = broken
	c.Gather()
	if _, err := c.Write(record(9)); err != nil {
		t.Errorf("%v before Flush", err)
	}
	if err := c.Flush(); err != broken {
		t.Errorf("Flush says %v", err)
	}
}

// TestTLSRunsOverIt sends both ways at once, gathered and not.
func TestTLSRunsOverIt(t *testing.T) {
	authority := certtest.NewAuthority(t, "test authority")
	near, far := pair(t)
	below := [2]*Conn{New(near), New(far)}
	ends := [2]*tls.Conn{
		tls.Client(below[0], &tls.Config{InsecureSkipVerify: true}),
		tls.Server(below[1], &tls.Config{Certificates: []tls.Certificate{authority.Server().TLS(t)}}),
	}
	shaken := make(chan error, 1)
	go func() { shaken <- ends[0].Handshake() }()
	if err := errors.Join(ends[1].Handshake(), <-shaken); err != nil {
		t.Fatal(err)
	}
	const total = 3 << 20
	data := make([]byte, total)
	for i := range data {
		data[i] = byte(i * i >> 7)
	}
	var all sync.WaitGroup
	for i, end := range ends {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 7))
			for b := data; len(b) > 0; {
				gather := rng.IntN(2) == 0
				if gather {
					below[i].Gather()
				}
				for range 1 + rng.IntN(5) {
					n := min(len(b), rng.IntN(40<<10))
					if _, err := end.Write(b[:n]); err != nil {
						t.Error(err)
						return
					}
					b = b[n:]
				}
				if gather {
					if err := below[i].Flush(); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
		all.Go(func() {
			got := make([]byte, total)
			if _, err := io.ReadFull(end, got); err != nil || !bytes.Equal(got, data) {
				t.Errorf("end %d has read others, %v", i, err)
			}
		})
	}
	all.Wait()
}

func TestNothingIsAllocatedARecord(t *testing.T) {
	near, far := pair(t)
	in, out := New(far), New(near)
	one, p := record(1000), make([]byte, 2000)
	n := testing.AllocsPerRun(200, func() {
		out.Gather()
		out.Write(one)
		out.Write(one)
		out.Flush()
		for left := 2 * len(one); left > 0; {
			m, err := in.Read(p)
			if err != nil {
				t.Fatal(err)
			}
			left -= m
		}
	})
	if n >= 1 {
		t.Errorf("%v allocations for two records", n)
	}
}
