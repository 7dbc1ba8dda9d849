package bench

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
)

// NullOptions configures a null broker.
type NullOptions struct {
	// Addr is where to listen; default 127.0.0.1:0.
	Addr string
	// SyncDir, if not empty, is the folder of a file to which all that is
	// published is written, and fdatasync-ed once a group, before it is
	// confirmed. The file, of 64 MiB, is written over in a circle and removed in
	// the end.
	SyncDir string

	circle int64 // the file's length; default circleSize
}

// Null is the ceiling: a broker that does nothing but what can not be left out.
// It parses frames in place, forwards messages to the consumers there are,
// confirms once a socket read and stores nothing. What a real broker reaches,
// divided by what this one does in the same run on the same machine, says what
// its own work costs.
//
// Queues and exchanges exist as soon as they are named, and each exchange is a fanout
// one. Messages without a
// consumer are dropped; acks and prefetch are ignored, as a consumer's out
// buffer bounds what it has before it; several consumers of a queue take
// turns by socket reads.
type Null struct {
	ln     net.Listener
	commit *committer // nil without a file

	mu        sync.Mutex
	queues    map[string]*nullQueue    // under mu
	exchanges map[string]*nullExchange // under mu
	conns     map[*nullConn]struct{}   // under mu
	closed    bool                     // under mu
	named     int                      // under mu: queues that the broker has named
	wg        sync.WaitGroup
}

// nullQueue and nullExchange are read without lock by those who publish:
// consumers and bindings are replaced, not changed.
type nullQueue struct {
	mu        sync.Mutex
	consumers []nullConsumer // under mu; replaced
}

type nullConsumer struct {
	conn    *nullConn
	channel uint16
	tag     string
}

type nullExchange struct {
	mu     sync.Mutex
	queues []*nullQueue // under mu; replaced
}

// ListenNull starts a null broker.
func ListenNull(o NullOptions) (*Null, error) {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	b := &Null{queues: map[string]*nullQueue{}, exchanges: map[string]*nullExchange{}, conns: map[*nullConn]struct{}{}}
	if o.SyncDir != "" {
		f, err := os.CreateTemp(o.SyncDir, "leveret-bench-*.log")
		if err != nil {
			return nil, err
		}
		if b.commit, err = newCommitter(f, cmp.Or(o.circle, circleSize)); err != nil {
			return nil, err
		}
	}
	ln, err := net.Listen("tcp", o.Addr)
	if err != nil {
		if b.commit != nil {
			b.commit.close()
		}
		return nil, err
	}
	b.ln = ln
	b.wg.Go(b.accept)
	return b, nil
}

// URI is where clients find it.
func (b *Null) URI() string { return fmt.Sprintf("amqp://guest:guest@%s/", b.ln.Addr()) }

// Close ends all connections and waits for them.
func (b *Null) Close() error {
	b.mu.Lock()
	b.closed = true
	for c := range b.conns {
		c.nc.Close()
	}
	b.mu.Unlock()
	err := b.ln.Close()
	b.wg.Wait()
	if b.commit != nil {
		err = errors.Join(err, b.commit.close())
	}
	return err
}

func (b *Null) accept() {
	for {
		nc, err := b.ln.Accept()
		if err != nil {
			return
		}
		c := newNullConn(b, nc)
		b.mu.Lock()
		if b.closed {
			nc.Close()
		} else {
			b.conns[c] = struct{}{}
			b.wg.Go(c.serve)
		}
		b.mu.Unlock()
	}
}

// gone forgets a connection and its consumers.
func (b *Null) gone(c *nullConn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.conns, c)
	for _, q := range b.queues {
		q.mu.Lock()
		var rest []nullConsumer
		for _, k := range q.consumers {
			if k.conn != c {
				rest = append(rest, k)
			}
		}
		q.consumers = rest
		q.mu.Unlock()
	}
}

// cancel takes a consumer from its queue.
func (b *Null) cancel(c *nullConn, ch uint16, tag string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, q := range b.queues {
		q.mu.Lock()
		q.consumers = slices.DeleteFunc(slices.Clone(q.consumers), func(k nullConsumer) bool {
			return k.conn == c && k.channel == ch && k.tag == tag
		})
		q.mu.Unlock()
	}
}

// newName is a name for a queue that the client has left without one.
func (b *Null) newName() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.named++
	return fmt.Sprintf("amq.gen-null-%d", b.named)
}

// knows tells whether an exchange or a queue of a name was declared or used.
func (b *Null) knows(exchange, queue string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.exchanges[exchange] != nil || b.queues[queue] != nil
}

func (b *Null) queue(name string) *nullQueue {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queues[name]
	if q == nil {
		q = &nullQueue{}
		b.queues[name] = q
	}
	return q
}

func (b *Null) exchange(name string) *nullExchange {
	b.mu.Lock()
	defer b.mu.Unlock()
	x := b.exchanges[name]
	if x == nil {
		x = &nullExchange{}
		b.exchanges[name] = x
	}
	return x
}

// deleteQueue takes a queue out of the bindings too.
func (b *Null) deleteQueue(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queues[name]
	delete(b.queues, name)
	for _, x := range b.exchanges {
		x.mu.Lock()
		var rest []*nullQueue
		for _, o := range x.queues {
			if o != q {
				rest = append(rest, o)
			}
		}
		x.queues = rest
		x.mu.Unlock()
	}
}

func (b *Null) deleteExchange(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.exchanges, name)
}

func (q *nullQueue) add(k nullConsumer) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.consumers = append(q.consumers[:len(q.consumers):len(q.consumers)], k)
}

func (q *nullQueue) all() []nullConsumer {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.consumers
}

func (x *nullExchange) bind(q *nullQueue) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !slices.Contains(x.queues, q) {
		x.queues = append(x.queues[:len(x.queues):len(x.queues)], q)
	}
}

func (x *nullExchange) all() []*nullQueue {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.queues
}
