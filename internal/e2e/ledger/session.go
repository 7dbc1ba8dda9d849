package ledger

// Session is one consumer on one queue, from before its first delivery to its end.
type Session struct {
	l       *Ledger
	number  int // from 1, for reports
	q       *queue
	opened  uint64
	ending  bool // its close is on its way, so its messages may go to others
	over    bool
	held    map[*entry]bool
	acks    []*entry    // acks sent, in order
	settled int         // of which so many are known to be durable
	highest map[int]int // the highest number that came, by producer
}

// Open enters a consumer that is about to start on a queue.
func (l *Ledger) Open(queue string) *Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.queue(queue)
	l.opened++
	s := &Session{l: l, number: l.opened, q: q, opened: l.tick(), held: map[*entry]bool{}, highest: map[int]int{}}
	q.sessions[s] = true
	return s
}

// Foreign enters a delivery that is no message of any producer.
func (s *Session) Foreign(what string) {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.l.violation(Alien, "%s: %s", s.q.name, what)
}

// Delivered enters a message that the consumer has received. It returns false if the
// message was never sent.
func (s *Session) Delivered(producer, n int, redelivered bool) bool {
	l, q := s.l, s.q
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.over || s.ending {
		return true // from the client's buffer; the broker has taken it back by now
	}
	l.tick()
	l.totals.Delivered++
	if redelivered {
		l.totals.Redelivered++
	}
	e := q.find(producer, n)
	if e == nil {
		l.violation(Alien, "%s: message %d of producer %d was never published to it", q.name, n, producer)
		return false
	}
	name := func() string { return describe(q, e) }

	if !e.group.committing {
		l.violation(Premature, "%s was delivered before its transaction was committed", name())
	}
	if !e.persistent && e.sentLife < l.life {
		l.violation(Survivor, "%s is transient, of life %d, and outlived it", name(), e.sentLife)
	}
	switch {
	case e.gone:
		l.violation(Resurrected, "%s is back, though the broker had recovered without it", name())
	case e.ack == ackLasted:
		l.violation(Resurrected, "%s is back, though its ack of life %d was durable", name(), e.ackLife)
	case e.ack != unacked && e.ackLife == l.life && !e.ackLoose && !l.stopping:
		l.violation(Duplicate, "%s came again after its ack in this life", name())
	}
	switch {
	case l.stopping:
	case e.holder == s:
		l.violation(Duplicate, "%s came twice to one consumer", name())
	case e.holder != nil:
		l.violation(Duplicate, "%s came while another consumer holds it", name())
	}
	// While the broker stops, a client may find this in its buffer after another has
	// already been given the message again.
	if e.delivered != 0 && !redelivered && !(l.stopping && e.delivered == l.life) {
		l.violation(Unmarked, "%s was delivered before, but is not marked as redelivered", name())
	}
	if redelivered && e.delivered == 0 {
		if e.sentLife < l.life || q.endedSince(l, e.sentAt) {
			l.totals.Needless++
		} else if !l.opts.Lenient {
			l.violation(FalseMark, "%s is marked as redelivered, but no consumer has ended since it was published", name())
		}
	}
	if highest, any := s.highest[producer]; any && n < highest && e.returnedAt < s.opened && e.nackLife < l.life && !q.endedSince(l, s.opened) {
		l.violation(Disorder, "%s came to session %d (open since %d) after %s", name(), s.number, s.opened, describe(q, q.find(producer, highest)))
	}
	s.highest[producer] = max(s.highest[producer], n)

	if e.holder != nil {
		delete(e.holder.held, e)
	}
	e.holder = s
	if !(l.stopping && e.ackLife == l.life) { // such a late reading does not undo another's ack
		e.ack = unacked
	}
	if e.delivered == 0 {
		e.delivered = l.life
	}
	if redelivered {
		l.note(e, "redelivered", s)
	} else {
		l.note(e, "delivered", s)
	}
	s.held[e] = true
	if l.life > e.sentLife && e.presentLife == 0 {
		e.presentLife = l.life
	}
	return true
}

// endedSince says whether messages may have come back to the queue since then from a
// consumer that had them in its buffers, unseen.
func (q *queue) endedSince(l *Ledger, since uint64) bool {
	if l.stopping || q.ending > 0 || q.cutLife == l.life || q.lastEnd > since {
		return true
	}
	// A lenient broker says close-ok first and requeues a little later.
	return l.opts.Lenient && q.lastEnd > l.lifeBegan
}

// AckSent enters an ack that is about to be sent.
func (s *Session) AckSent(producer, n int) {
	l := s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	e := s.q.find(producer, n)
	if s.over || e == nil || e.holder != s && !l.stopping {
		return
	}
	if e.holder != nil { // while the broker stops it may be another, see Delivered
		delete(e.holder.held, e)
	}
	l.note(e, "acked", s)
	e.holder, e.ack, e.ackLife, e.ackLoose = nil, ackSent, l.life, false
	s.acks = append(s.acks, e)
	l.totals.Acked++
}

// Returned enters a nack or reject with requeue that is about to be sent.
func (s *Session) Returned(producer, n int) {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	if e := s.q.find(producer, n); e != nil && e.holder == s {
		s.giveBack(e)
		e.nackLife = s.l.life
	}
}

func (s *Session) giveBack(e *entry) {
	delete(s.held, e)
	e.holder, e.returnedAt = nil, s.l.tick()
	s.l.note(e, "returned", s)
}

// Mark names the acks that have been sent so far. If the client then publishes a
// persistent message on the same channel and has it confirmed, Settled with that mark
// enters that they are durable.
func (s *Session) Mark() int {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	return len(s.acks)
}

// Settled enters the confirm of a publish that was sent after Mark.
func (s *Session) Settled(mark int) {
	l := s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.over || mark <= s.settled {
		return
	}
	for _, e := range s.acks[s.settled:mark] {
		if e.ack == ackSent || e.ack == ackDone {
			if e.ack = ackDone; !l.opts.Lenient {
				l.settle(e)
			}
		}
	}
	s.settled = mark
}

// Closing enters that the session's close is about to be sent: what it holds may go to
// others from now on.
func (s *Session) Closing() {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	if s.over || s.ending {
		return
	}
	s.ending = true
	s.q.ending++
	for e := range s.held {
		s.giveBack(e)
	}
}

// Closed enters that the broker has answered the close: it took everything before it.
func (s *Session) Closed() {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.l.endSession(s, true)
}

// Cut enters that the session's connection is about to be cut: it is open which of its
// acks the broker will have read, and when it will notice.
func (s *Session) Cut() {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.q.cutLife = s.l.life
	s.l.endSession(s, false)
}

func (l *Ledger) endSession(s *Session, clean bool) {
	if s.over {
		return
	}
	s.over = true
	delete(s.q.sessions, s)
	if s.ending {
		s.q.ending--
	}
	for e := range s.held {
		s.giveBack(e)
	}
	for _, e := range s.acks {
		switch {
		case e.ack != ackSent:
		case clean:
			e.ack = ackDone
		default:
			e.ackLoose, e.returnedAt = true, l.tick()
		}
	}
	s.q.lastEnd = l.tick()
}

// Empty enters that the broker says the queue has no ready message and no other consumer,
// while this session holds all that it was given: whatever must be in the queue is in
// this session's hands.
func (s *Session) Empty() { s.l.Empty(s.q.name) }

// Empty is Session.Empty where nobody holds anything, or the queue is not even there.
func (l *Ledger) Empty(queue string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.queue(queue)
	for _, entries := range q.producers {
		for _, e := range entries {
			if e.holder != nil || e.gone {
				continue
			}
			if e.due(l.life) {
				l.violation(Lost, "%s was confirmed and is not there", describe(q, e))
			}
			// Not recovered into this life: then never again.
			if e.sentLife < l.life && (e.ack == unacked || e.ackLife < l.life) {
				e.gone = true
				if e.ack == unacked && e.persistent {
					l.totals.Gone++
				}
			}
		}
	}
}

// due says whether the entry must be in its queue, if nobody holds it.
func (e *entry) due(life int) bool {
	return e.group.confirmed && !e.nacked && e.ack == unacked && (e.persistent || e.sentLife == life)
}

// Discarding enters that a purge or deletion of the queue is about to be sent. The queue
// must have no consumer, and nobody may publish to it until Discarded.
func (l *Ledger) Discarding(queue string) {
	l.discard(queue, ackSent)
}

// Discarded enters the broker's answer: what was in the queue must not come again in this
// life, and after a deletion, which is durable, never.
func (l *Ledger) Discarded(queue string, deleted bool) {
	if deleted && !l.opts.Lenient {
		l.discard(queue, ackLasted)
	} else {
		l.discard(queue, ackDone)
	}
}

func (l *Ledger) discard(queue string, ack ackState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tick()
	for _, entries := range l.queue(queue).producers {
		for _, e := range entries {
			if e.holder == nil && e.ack < ack && !e.gone {
				e.ack, e.ackLife, e.ackLoose = ack, l.life, false
				e.untold = e.untold || e.sentLife < l.life && e.presentLife == 0
				l.note(e, "discarded", nil)
			}
		}
	}
}
