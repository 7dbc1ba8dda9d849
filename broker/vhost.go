package broker

import (
	"encoding/json"
	"sync"
	"sync/atomic"

	"github.com/leveret-mq/leveret/broker/stats"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
)

// vhost is a name space of exchanges and queues.
//
// Lock order: vhost.policing → vhost.mu → localQueue.mu → the log's append lock → the store's
// own queue lock; localQueue.mu → whatever lock a Sink's methods take.
type vhost struct {
	b    *Broker
	name string

	// generation counts changes after which a message may be routed
	// differently. It is raised after the change is visible: a route that was
	// found under one generation, and is used while that still stands, misses
	// only changes whose maker has not been answered yet.
	generation atomic.Uint64

	counts stats.Shared // of all that is in it

	// policing is held while policies change and their objects follow.
	policing sync.Mutex

	info     atomic.Pointer[VHost] // what administrators say of it; replaced as a whole
	made     wal.LSN               // of its record; Broker.admin
	sessions map[*Session]struct{} // Broker.mu
	grants   map[string]*grant     // by user; Broker.mu

	parameters map[parameterName]json.RawMessage // Broker.mu

	// mu guards the maps, the bindings' books in all nodes, the owners of
	// queues, and orders changes. Writers append to the log while they hold
	// it, but never wait for the disk.
	mu        sync.RWMutex
	exchanges map[string]*exchange
	queues    map[string]Queue
	listed    queueList              // the same
	replies   map[string]*localQueue // direct reply-to, by full name
	policies  *policies
	last      wal.LSN // of the last change that went to the log
	leaving   bool    // it is being deleted: nothing is made in it
}

// Predeclared are the exchanges that every vhost has, but for the default one.
func Predeclared() []ExchangeSpec {
	return []ExchangeSpec{
		{Name: "amq.direct", Type: "direct", Durable: true},
		{Name: "amq.fanout", Type: "fanout", Durable: true},
		{Name: "amq.topic", Type: "topic", Durable: true},
		{Name: "amq.headers", Type: "headers", Durable: true},
		{Name: "amq.match", Type: "headers", Durable: true},
		{Name: "amq.rabbitmq.trace", Type: "topic", Internal: true, Durable: true},
	}
}

// newVHost makes a vhost with the exchanges that every vhost has.
func newVHost(b *Broker, name string) *vhost {
	v := &vhost{b: b, name: name, policies: new(policies), exchanges: map[string]*exchange{}, queues: map[string]Queue{}, replies: map[string]*localQueue{},
		sessions: map[*Session]struct{}{}, grants: map[string]*grant{}}
	v.info.Store(&VHost{Name: name})
	for _, spec := range Predeclared() {
		x := v.newExchange(spec)
		x.predeclared = true
		v.exchanges[x.name] = x
	}
	// The default exchange routes by the map of queues: it has no table.
	x := &exchange{v: v, kind: "direct", durable: true, predeclared: true, id: b.ids.Add(1)}
	x.applyPolicies(v.policies)
	v.exchanges[""] = x
	return v
}

func (v *vhost) exchange(name string) *exchange {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.exchanges[name]
}

func (v *vhost) queue(name string) Queue {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.queues[name]
}

// queueList is a vhost's queues for who walks through all of them, a few at a time and in
// the order in which they came, which is that of memory too. A queue keeps its slot.
type queueList struct {
	slots []Queue
	gaps  []int32
}

// add makes a queue one of the vhost's. vhost.mu is held.
func (v *vhost) add(q Queue) {
	d, l := q.def(), &v.listed
	v.queues[d.name] = q
	if n := len(l.gaps); n > 0 {
		d.slot, l.gaps = l.gaps[n-1], l.gaps[:n-1]
		l.slots[d.slot] = q
		return
	}
	d.slot = int32(len(l.slots))
	l.slots = append(l.slots, q)
}

// remove is the reverse of add.
func (v *vhost) remove(q Queue) {
	d, l := q.def(), &v.listed
	delete(v.queues, d.name)
	l.slots[d.slot] = nil
	if l.gaps = append(l.gaps, d.slot); len(l.gaps) == len(l.slots) {
		*l = queueList{}
	}
}

// next appends the queues in the slots from i on to buf, as many as it has room for, and
// says where to go on; -1: these were the last.
func (v *vhost) next(i int, buf []Queue) ([]Queue, int) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for ; i < len(v.listed.slots); i++ {
		if len(buf) == cap(buf) {
			return buf, i
		}
		if q := v.listed.slots[i]; q != nil {
			buf = append(buf, q)
		}
	}
	return buf, -1
}

// change is a change of topology in the making: all its records reach the
// store as one batch. It lives while vhost.mu is held.
type change struct {
	v       *vhost
	batch   *store.Batch
	changed bool
	lsn     wal.LSN  // what must be durable before the change may be answered
	after   []func() // what is to be done once no lock is held
}

// change runs fn under the lock and then waits until what fn applied is on
// disk. Whoever finds an object that another made a moment ago waits for that
// one's LSN too (await), so that no answer comes before its cause is durable.
func (v *vhost) change(fn func(t *change) error) error {
	lsn, err := v.apply(fn)
	if err != nil {
		return err
	}
	return v.b.wait(lsn)
}

// apply is change without the wait: that is for the LSN it returns.
func (v *vhost) apply(fn func(t *change) error) (wal.LSN, error) {
	t := &change{v: v, batch: v.b.store.NewBatch()}
	v.mu.Lock()
	err := fn(t)
	if t.changed {
		v.generation.Add(1)
	}
	v.mu.Unlock()
	for _, f := range t.after {
		f()
	}
	return t.lsn, err
}

// apply makes the records gathered so far happen.
func (t *change) apply() error {
	t.changed = true
	if t.batch.Len() == 0 {
		return nil
	}
	lsn, err := t.v.b.store.Apply(t.batch, wal.Lazy, nil)
	t.await(lsn)
	t.v.last = max(t.v.last, lsn)
	if err != nil {
		return errStore(err)
	}
	return nil
}

// making refuses to make anything in a vhost that is being deleted.
func (t *change) making() error {
	if t.v.leaving {
		return amqp.ConnectionForced("vhost '%s' is down", t.v.name)
	}
	return nil
}

// gone is the answer to who removes what is not there: as good as a removal, so
// it too waits until the removal that another may have made a moment ago is on
// disk.
func (t *change) gone() error {
	t.await(t.v.last)
	return nil
}

// await makes the change's answer wait for lsn.
func (t *change) await(lsn wal.LSN) { t.lsn = max(t.lsn, lsn) }
