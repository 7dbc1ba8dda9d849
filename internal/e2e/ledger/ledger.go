package ledger

import (
	"fmt"
	"sync"
)

// Kind is a sort of violation; see the package's table.
type Kind string

const (
	Lost        Kind = "lost"
	Duplicate   Kind = "duplicate"
	Disorder    Kind = "disorder"
	Alien       Kind = "alien"
	Unmarked    Kind = "unmarked"
	FalseMark   Kind = "false mark"
	Resurrected Kind = "resurrected"
	Survivor    Kind = "survivor"
	Torn        Kind = "torn"
	Hole        Kind = "hole"
	Premature   Kind = "premature"
	Wrong       Kind = "wrong"
)

// Violation is one thing that the broker must not have done.
type Violation struct {
	Kind Kind
	Text string
}

func (v Violation) String() string { return string(v.Kind) + ": " + v.Text }

// Options tune what is asked of the broker.
type Options struct {
	// Lenient leaves out what only a broker with one ordered log promises.
	Lenient bool
}

// maxViolations bounds the list: past it they are only counted.
const maxViolations = 100

// Ledger is the book. Its methods may be called by many goroutines.
type Ledger struct {
	opts Options

	mu         sync.Mutex
	life       int    // the broker's lives, from 1
	lifeBegan  uint64 // when this one began
	stopping   bool   // it has been told to end
	clock      uint64 // events so far, so that entries can be put in order
	queues     map[string]*queue
	groups     []*group
	violations []Violation
	more       int // violations that were not kept
	totals     Totals
	opened     int // sessions so far
}

// Totals count what happened, for the test's report: a run in which nothing happened
// proves nothing.
type Totals struct {
	Sent, Confirmed, Delivered, Redelivered, Acked, Settled int
	Needless                                                int // marked as redelivered after a restart though no client had it: allowed
	Gone                                                    int // unconfirmed ones that a crash took
	Crashes, Stops                                          int
}

type queue struct {
	name      string
	producers map[int][]*entry // by number, which ascends
	sessions  map[*Session]bool
	ending    int    // sessions that have begun to end
	lastEnd   uint64 // when a session on it last ended
	cutLife   int    // the last life in which one lost its connection: the broker notices when it may
}

type ackState uint8

const (
	unacked   ackState = iota
	ackSent            // may have taken effect
	ackDone            // has taken effect in this life
	ackLasted          // is durable
)

// entry is one message in one queue.
type entry struct {
	n          int
	producer   int
	persistent bool
	group      *group

	sentLife int
	sentAt   uint64
	nacked   bool

	holder      *Session // who has it unacked at present
	delivered   int      // the first life in which some client had it; 0: none yet
	returnedAt  uint64   // when it was last given back, or its holder ended
	nackLife    int      // the last life in which it was given back by a nack, which takes effect when it may
	presentLife int      // the first life after sentLife in which it was seen
	ack         ackState
	ackLife     int  // the life of its last ack
	ackLoose    bool // that ack's connection was lost: it may not have arrived
	untold      bool // nobody can say whether it was there after sentLife: its ack was on its way, or it was discarded unseen
	gone        bool // a recovery came up without it, so it must stay away

	story []step // for the report of a violation
}

// step is one thing that befell a message.
type step struct {
	at      uint64 // the ledger's clock
	life    int
	what    string
	session int // 0: none
}

// note adds to the entry's story.
func (l *Ledger) note(e *entry, what string, s *Session) {
	st := step{at: l.clock, life: l.life, what: what}
	if s != nil {
		st.session = s.number
	}
	e.story = append(e.story, st)
}

// group is what the broker takes or loses as a whole: one publish with all its copies,
// or one transaction.
type group struct {
	members    []*member
	committing bool // the commit was sent, or needs none
	confirmed  bool
	crashed    int // the life whose end left it unconfirmed; 0 while that is open
}

type member struct {
	*entry
	queue string
}

// New returns an empty book, for a broker about to begin its first life.
func New(opts Options) *Ledger {
	return &Ledger{opts: opts, life: 1, queues: map[string]*queue{}}
}

func (l *Ledger) queue(name string) *queue {
	q := l.queues[name]
	if q == nil {
		q = &queue{name: name, producers: map[int][]*entry{}, sessions: map[*Session]bool{}}
		l.queues[name] = q
	}
	return q
}

// find returns nil for a message that was never sent to the queue.
func (q *queue) find(producer, n int) *entry {
	entries := q.producers[producer]
	lo, hi := 0, len(entries)
	for lo < hi {
		if mid := (lo + hi) / 2; entries[mid].n < n {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(entries) && entries[lo].n == n {
		return entries[lo]
	}
	return nil
}

func (l *Ledger) violation(kind Kind, format string, args ...any) {
	if len(l.violations) >= maxViolations {
		l.more++
		return
	}
	l.violations = append(l.violations, Violation{kind, fmt.Sprintf("life %d: ", l.life) + fmt.Sprintf(format, args...)})
}

func (l *Ledger) tick() uint64 {
	l.clock++
	return l.clock
}

// Message is what a producer sends. A producer is one channel; its numbers ascend over
// all its lives.
type Message struct {
	Producer, N int
	Persistent  bool
}

// Batch is a publish or a transaction in the making.
type Batch struct {
	l *Ledger
	g *group
}

// Sent enters a message that is about to be published and will reach all these queues.
func (l *Ledger) Sent(m Message, queues ...string) *Batch {
	b := l.Begin()
	b.g.committing = true
	b.Sent(m, queues...)
	return b
}

// Begin opens a transaction. A channel has one at a time.
func (l *Ledger) Begin() *Batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := &group{}
	l.groups = append(l.groups, g)
	return &Batch{l, g}
}

// Sent adds a message to the transaction.
func (b *Batch) Sent(m Message, queues ...string) {
	l := b.l
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.tick()
	for _, name := range queues {
		e := &entry{n: m.N, producer: m.Producer, persistent: m.Persistent, group: b.g, sentLife: l.life, sentAt: at}
		q := l.queue(name)
		l.note(e, "sent", nil)
		q.producers[m.Producer] = append(q.producers[m.Producer], e)
		b.g.members = append(b.g.members, &member{e, name})
		l.totals.Sent++
	}
}

// Committing says that the commit is about to be sent.
func (b *Batch) Committing() {
	b.l.mu.Lock()
	defer b.l.mu.Unlock()
	b.g.committing = true
}

// Confirmed says that the broker has confirmed the publish, or the commit.
func (b *Batch) Confirmed() {
	b.l.mu.Lock()
	defer b.l.mu.Unlock()
	b.g.confirmed = true
	b.l.totals.Confirmed += len(b.g.members)
	for _, m := range b.g.members {
		b.l.note(m.entry, "confirmed", nil)
	}
}

// Nacked says that the broker has refused it: it is left open whether some queue took it.
func (b *Batch) Nacked() {
	b.l.mu.Lock()
	defer b.l.mu.Unlock()
	for _, m := range b.g.members {
		m.nacked = true
	}
}

// Crashed says that the broker was killed: all sessions are over, and the next life
// begins.
func (l *Ledger) Crashed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.totals.Crashes++
	l.nextLife()
}

// Stopping says that the broker is about to be told to stop. It will end one connection
// after the other, and what the first ones held may go to the last ones.
func (l *Ledger) Stopping() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopping = true
}

// Stopped says that the broker has stopped in good order: acks that it had taken are as
// durable as they will ever be.
func (l *Ledger) Stopped() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.totals.Stops++
	for _, q := range l.queues {
		for _, entries := range q.producers {
			for _, e := range entries {
				if e.ack == ackDone && e.ackLife == l.life {
					l.settle(e)
				}
			}
		}
	}
	l.nextLife()
}

func (l *Ledger) settle(e *entry) {
	e.ack = ackLasted
	l.totals.Settled++
}

func (l *Ledger) nextLife() {
	for _, q := range l.queues {
		for s := range q.sessions {
			l.endSession(s, false)
		}
		q.ending = 0
		for _, entries := range q.producers {
			for _, e := range entries {
				if e.sentLife == l.life {
					e.untold = e.ack != unacked
				}
			}
		}
	}
	for _, g := range l.groups {
		if g.crashed == 0 && !g.confirmed {
			g.crashed = l.life
		}
	}
	l.stopping = false
	l.life++
	l.lifeBegan = l.tick()
}

// Totals returns the counts so far.
func (l *Ledger) Totals() Totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.totals
}

// Violations returns what was found so far and how many more there were.
func (l *Ledger) Violations() (kept []Violation, more int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Violation(nil), l.violations...), l.more
}
