package broker

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
	"sync/atomic"
	"time"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
)

// Queue is where messages wait for consumers. It is the seam to the engines
// that hold them: localQueue on the store is the default one, and the front
// ends know no other type than this, so that a queue whose ready list lives in
// another process can stand beside it. Values are pointers, hence comparable.
//
// The methods that are not exported are what an engine owes to this package;
// they keep implementations inside it, since a publish to several queues, and a
// transaction, must go through one Batch.
type Queue interface {
	Name() string
	VHost() string
	// Durable: the queue, and the persistent messages in it, survive a restart.
	Durable() bool
	// Counts are the ready messages, those with consumers that have not been
	// acked, and the consumers. A remote engine may answer from what it last
	// heard.
	Counts() (ready, unacked, consumers int)
	// ConsumerTimeout is how long a delivery may stay unacknowledged; 0: as the
	// server's default says.
	ConsumerTimeout() time.Duration
	// SetAside takes a delivery out of the way whose large body cannot be read:
	// see BodyDamaged. It is not offered again before a restart.
	SetAside(seq uint64, cause error)

	// def is the part that does not depend on the engine.
	def() *queueDef
	// holds is what there is in the queue.
	holds() holding
	// consumerCount is how many consumers there are; attached are these, and the one
	// that is served alone, where there is to be only one.
	consumerCount() int
	attached() (consumers []*Consumer, active *Consumer)
	// local is the queue as the store sees it, nil for other engines: all
	// queues of a message that have one share one record.
	local() *store.Queue
	// settle records in b what became of a delivery.
	settle(b *Batch, seq uint64, what settlement)
	// attach and detach add and remove a consumer; after detach has returned,
	// nothing is offered to it. left is how many remain.
	attach(c *Consumer) error
	detach(c *Consumer) (left int)
	// handDown serves who follows a consumer of which detach took the place as the
	// single active one.
	handDown(c *Consumer)
	// touch notes that c may take again; deliver then runs delivery as far as
	// r's budget goes.
	touch(c *Consumer)
	deliver(r *runner)
	get(noAck bool, fn func(d *Delivery, remaining int)) (bool, error)
	purge() (removed int, lsn wal.LSN, err error)
	// peek and footprint are for who looks: see Session.Peek and Broker.Footprint.
	peek(position, most int, which Which, fn func(p *Peeked) bool) (next int)
	footprint() Footprint
	// retire ends the queue: nothing is offered from now on, and remove, where
	// it is called, puts the deletion into a batch. It returns the consumers
	// that were left.
	retire() []*Consumer
	remove(b *store.Batch) (removed func() int)
	// settingsChanged does at once what new settings ask for, which hold already.
	// One change is made at a time, with no lock held; the queue may just be being
	// deleted.
	settingsChanged(old, new *settings)
}

// holding is what a queue has.
type holding = store.Holding

// settlement is what becomes of a delivered message.
type settlement uint8

const (
	acked settlement = iota
	requeued
	discarded // refused for good
)

// queueDef is what every queue is, whatever its engine. Fields without a note
// are fixed once the queue stands in its vhost's map.
type queueDef struct {
	node
	v          *vhost
	name       string
	durable    bool // as it acts: an exclusive queue never is
	exclusive  bool
	autoDelete bool
	reply      bool // a destination of direct reply-to
	deleted    bool // guarded by vhost.mu
	args       amqp.Table
	// set is what the arguments say; it is replaced as a whole: see settings.
	set      atomic.Pointer[settings]
	owner    *Session              // of an exclusive queue
	lsn      wal.LSN               // of its record
	used     atomic.Int64          // last use that keeps x-expires away, Unix ns
	deadline *deadline             // for x-expires; expiry's lock guards it; nil: never watched
	id       uint64                // of this very queue, in this life of the broker
	slot     int32                 // in vhost.listed
	made     int64                 // when, or when the broker started, ms since 1970
	tally    atomic.Pointer[tally] // nil: nothing was counted yet
}

// QueueSpec describes a queue to declare.
type QueueSpec struct {
	Name                                    string // empty: the server makes an amq.gen- name
	Passive, Durable, Exclusive, AutoDelete bool
	Args                                    amqp.Table // copied
}

// QueueInfo is what a declaration learns.
type QueueInfo struct {
	Name      string // as the queue is called: server-made, or without the line feeds that were asked for
	Messages  uint32 // ready
	Consumers uint32
}

func (v *vhost) newQueue(spec QueueSpec, set settings, owner *Session) *localQueue {
	q := &localQueue{queueDef: queueDef{
		v: v, id: v.b.ids.Add(1), made: v.b.clock.Load(), name: spec.Name, owner: owner, args: spec.Args.Clone(),
		durable: spec.Durable && !spec.Exclusive, exclusive: spec.Exclusive, autoDelete: spec.AutoDelete,
	}}
	if set == plain {
		q.set.Store(&plain)
	} else {
		own := set
		q.set.Store(&own)
	}
	q.node.queue = q
	q.use()
	return q
}

// settings is what the queue's arguments, and whoever else has a say, make of it.
// It never changes: look again for what holds now.
func (d *queueDef) settings() *settings { return d.set.Load() }

func (d *queueDef) ConsumerTimeout() time.Duration { return d.settings().consumerTimeout }

// use notes a use that keeps the queue from expiring.
func (d *queueDef) use() {
	if d.settings().expires > 0 {
		d.used.Store(time.Now().UnixNano())
	}
}

// randomName makes 22 characters that nobody guesses: RabbitMQ's server-made
// names have the same form.
func randomName() string {
	var b [16]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// mayUse refuses a queue that is exclusive to another connection.
func (s *Session) mayUse(d *queueDef) error {
	if d.exclusive && d.owner != s {
		return errLocked(d.name, d.v.name)
	}
	return nil
}

// find looks a queue up for this session.
func (s *Session) find(name string) (Queue, error) {
	q := s.v.queue(name)
	if q == nil {
		return nil, errNoQueue(name, s.v.name)
	}
	if err := s.mayUse(q.def()); err != nil {
		return nil, err
	}
	return q, nil
}

// DeclareQueue makes a queue, or compares the one there is. A passive
// declaration asks only whether there is one.
func (s *Session) DeclareQueue(spec QueueSpec) (QueueInfo, error) {
	spec.Name = cleanName(spec.Name)
	v := s.v
	if strings.HasPrefix(spec.Name, ReplyQueue) {
		return s.declareReply(spec)
	}
	if spec.Passive {
		q, err := s.find(spec.Name)
		if err != nil {
			return QueueInfo{}, err
		}
		if err := s.wait(q.def().lsn); err != nil {
			return QueueInfo{}, err
		}
		q.def().use()
		return info(q), nil
	}
	named := spec.Name != ""
	if !named {
		switch t, _ := spec.Args.LongString("x-queue-type"); t {
		case typeQuorum:
			return QueueInfo{}, amqp.PreconditionFailed("Cannot declare a server-named queue for type %s", kindQuorum)
		case typeStream:
			return QueueInfo{}, amqp.PreconditionFailed("Cannot declare a server-named queue for type %s", kindStream)
		}
		spec.Name = "amq.gen-" + randomName()
	} else if reserved(spec.Name) && !s.restores {
		return QueueInfo{}, errReserved("queue", spec.Name)
	}
	if err := s.mayConfigure(resourceQueue, spec.Name); err != nil {
		return QueueInfo{}, err
	}
	var q Queue
	err := s.change(func(t *change) error {
		if q = v.queues[spec.Name]; q != nil {
			t.await(q.def().lsn)
			if s.restores {
				return nil
			}
			q.def().use()
			if is, ok := q.def().args.Get("x-queue-type"); ok && v.typeless(spec) {
				spec.Args = spec.Args.With("x-queue-type", is)
			}
			bad := q.def().compare(s, spec)
			if bad == nil {
				v.b.churn.queueDeclared.Add(1)
			}
			return asError(bad)
		}
		if err := s.mayMake(t, spec); err != nil {
			return err
		}
		if named && !s.restores && v.typeless(spec) {
			spec.Args = spec.Args.With("x-queue-type", amqp.LongString(v.info.Load().QueueType))
		}
		bad := checkArguments(spec.Args, spec.Name, v.name)
		set := v.settingsFor(spec.Name, spec.Args)
		if bad == nil {
			bad = checkType(&set, spec, v.name)
		}
		if bad != nil {
			return bad
		}
		var owner *Session
		if spec.Exclusive {
			owner = s
		}
		fresh := v.newQueue(spec, set, owner)
		if err := fresh.create(t); err != nil {
			return err
		}
		v.add(fresh)
		v.b.churn.queueDeclared.Add(1)
		v.b.churn.queueCreated.Add(1)
		if owner != nil {
			owner.exclusive[fresh] = struct{}{}
		}
		if set.expires > 0 {
			v.b.expiry.watch(fresh)
		}
		q = fresh
		return nil
	})
	if err != nil {
		return QueueInfo{}, err
	}
	return info(q), nil
}

// typeless tells whether a queue is of the vhost's default type, because its
// declaration names none.
func (v *vhost) typeless(spec QueueSpec) bool {
	return v.info.Load().QueueType != "" && spec.Durable && !spec.Exclusive && !spec.AutoDelete && !spec.Args.Has("x-queue-type")
}

// mayMake refuses a queue that is not there yet: one over the vhost's limit, or
// whose dead letters would go where the user may not publish, or which the user may
// not read. vhost.mu is held.
func (s *Session) mayMake(t *change, spec QueueSpec) error {
	v := s.v
	if limit := v.limits().Get(access.MaxQueues); limit >= 0 && !s.restores && len(v.queues) >= limit {
		return amqp.PreconditionFailed("cannot declare queue '%s': queue limit in vhost '%s' (%d) is reached", spec.Name, v.name, limit)
	}
	const dlx = "x-dead-letter-exchange"
	if to, ok := spec.Args.Get(dlx); ok {
		if to.Type != amqp.TypeLongString {
			return amqp.PreconditionFailed("invalid type '%s' for arg '%s' in queue '%s' in vhost '%s'", to.Type, dlx, spec.Name, v.name)
		}
		if err := s.mayRead(resourceQueue, spec.Name); err != nil {
			return err
		}
		name, _ := spec.Args.LongString(dlx)
		if err := s.mayWrite(resourceExchange, name); err != nil {
			return err
		}
	}
	return t.making()
}

func info(q Queue) QueueInfo {
	ready, _, consumers := q.Counts()
	return QueueInfo{Name: q.Name(), Messages: uint32(ready), Consumers: uint32(consumers)}
}

// compare says in what a redeclaration differs, in RabbitMQ's order.
func (d *queueDef) compare(s *Session, spec QueueSpec) *amqp.Error {
	if d.exclusive != spec.Exclusive || d.exclusive && d.owner != s {
		return errLocked(d.name, d.v.name)
	}
	if durable := spec.Durable && !spec.Exclusive; durable != d.durable {
		return amqp.Inequivalent("durable", "queue", d.name, d.v.name, amqp.Bool(durable), amqp.Bool(d.durable))
	}
	if spec.AutoDelete != d.autoDelete {
		return amqp.Inequivalent("auto_delete", "queue", d.name, d.v.name, amqp.Bool(spec.AutoDelete), amqp.Bool(d.autoDelete))
	}
	return compareArguments(spec.Args, d.args, d.name, d.v.name)
}

// DeleteQueue deletes a queue and returns how many messages were ready in it.
// That there is none is no error. ifUnused refuses while it has consumers,
// ifEmpty while it has ready messages.
func (s *Session) DeleteQueue(name string, ifUnused, ifEmpty bool) (uint32, error) {
	name = cleanName(name)
	if err := s.mayConfigure(resourceQueue, name); err != nil {
		return 0, err
	}
	var removed func() int
	err := s.change(func(t *change) error {
		q := s.v.queues[name]
		if q == nil {
			return t.gone()
		}
		if err := s.mayUse(q.def()); err != nil {
			return err
		}
		ready, _, consumers := q.Counts()
		if ifEmpty && ready > 0 {
			return amqp.PreconditionFailed("queue '%s' in vhost '%s' not empty", name, s.v.name)
		}
		if ifUnused && consumers > 0 {
			return amqp.PreconditionFailed("queue '%s' in vhost '%s' in use", name, s.v.name)
		}
		removed = t.deleteQueue(q)
		return t.apply()
	})
	if err != nil || removed == nil {
		return 0, err
	}
	return uint32(removed()), nil
}

// deleteQueue takes a queue out of the topology with all that hangs on it. The
// number of ready messages it had can be asked for after apply.
func (t *change) deleteQueue(q Queue) (removed func() int) {
	d := q.def()
	if d.deleted {
		return nil
	}
	d.deleted = true
	consumers := q.retire()
	if d.reply {
		delete(t.v.replies, d.name)
	} else {
		t.v.remove(q)
		t.v.b.churn.queueDeleted.Add(1)
	}
	if d.owner != nil {
		delete(d.owner.exclusive, q)
	}
	if d.durable {
		t.batch.Delete(d.key())
	}
	t.unbindAll(&d.node)
	if d.settings().expires > 0 {
		t.v.b.expiry.forget(q)
	}
	if l, ok := q.(*localQueue); ok {
		if alarm := l.alarm.Load(); alarm != nil {
			t.v.b.expiry.drop(&alarm.deadline)
		}
	}
	if len(consumers) > 0 {
		t.after = append(t.after, func() {
			for _, c := range consumers {
				c.sink.Cancelled(c)
			}
		})
	}
	return q.remove(t.batch)
}

// PurgeQueue removes the ready messages and returns how many they were.
func (s *Session) PurgeQueue(name string) (uint32, error) {
	name = cleanName(name)
	if err := s.mayRead(resourceQueue, name); err != nil {
		return 0, err
	}
	q, err := s.find(name)
	if err != nil {
		return 0, err
	}
	removed, lsn, err := q.purge()
	if err != nil {
		return 0, err
	}
	return uint32(removed), s.wait(lsn)
}
