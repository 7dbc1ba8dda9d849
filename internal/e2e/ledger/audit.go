package ledger

import (
	"fmt"
	"slices"
	"strings"
)

// Finish makes the checks that need the whole story. Call it once every queue was seen
// Empty in the last life.
func (l *Ledger) Finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.opts.Lenient {
		return
	}
	for _, g := range l.groups {
		l.checkWhole(g)
	}
	for _, q := range l.queues {
		for _, entries := range q.producers {
			l.checkPrefix(q, entries)
		}
	}
}

// checkWhole: what a crash found unconfirmed was recovered with all its copies or none.
// Copies that were acked before it or discarded after it tell nothing.
func (l *Ledger) checkWhole(g *group) {
	if g.crashed == 0 || !g.committing {
		return
	}
	var there, missing []*member
	for _, m := range g.members {
		switch {
		case !m.persistent || m.untold || m.nacked:
		case m.presentLife != 0:
			there = append(there, m)
		default:
			missing = append(missing, m)
		}
	}
	if len(there) > 0 && len(missing) > 0 {
		l.violation(Torn, "the crash of life %d left %d of what is one, such as %s, without %d, such as %s", g.crashed,
			len(there), describe(l.queues[there[0].queue], there[0].entry),
			len(missing), describe(l.queues[missing[0].queue], missing[0].entry))
	}
}

// checkPrefix: of the messages that one producer sent in one life, a crash takes the
// last ones, not some in the middle.
func (l *Ledger) checkPrefix(q *queue, entries []*entry) {
	var missing *entry
	for _, e := range entries {
		if !e.persistent || e.untold || e.nacked || e.group.crashed == 0 && !e.group.confirmed || !e.group.committing {
			continue
		}
		if missing != nil && missing.sentLife != e.sentLife {
			missing = nil
		}
		switch {
		case e.sentLife == l.life:
		case e.presentLife == 0 && !e.group.confirmed && missing == nil:
			missing = e
		case e.presentLife != 0 && missing != nil:
			l.violation(Hole, "%s was recovered without %s", describe(q, e), describe(q, missing))
			missing = nil
		}
	}
}

func describe(q *queue, e *entry) string {
	how := "unconfirmed"
	if e.group.confirmed {
		how = "confirmed"
	}
	if !e.persistent {
		how += ", transient"
	}
	var story strings.Builder
	for _, st := range e.story {
		fmt.Fprintf(&story, "; @%d life %d %s", st.at, st.life, st.what)
		if st.session != 0 {
			fmt.Fprintf(&story, " by session %d", st.session)
		}
	}
	return fmt.Sprintf("%s: message %d of producer %d (%s%s)", q.name, e.n, e.producer, how, story.String())
}

// Topology is the book of durable queues and bindings that are made and deleted while
// the broker crashes.
type Topology struct {
	l     *Ledger
	names map[string]*thing
}

type presence uint8

const (
	unknown presence = iota // something was asked and not answered
	there
	away
)

type thing struct{ is presence }

// Topology returns an empty book whose violations go to the ledger.
func (l *Ledger) Topology() *Topology { return &Topology{l: l, names: map[string]*thing{}} }

// Asking enters that a declaration or deletion of the name is about to be sent.
func (t *Topology) Asking(name string) { t.set(name, unknown) }

// Made enters that the broker has answered the declaration.
func (t *Topology) Made(name string) { t.set(name, there) }

// Deleted enters that the broker has answered the deletion.
func (t *Topology) Deleted(name string) { t.set(name, away) }

func (t *Topology) set(name string, is presence) {
	t.l.mu.Lock()
	defer t.l.mu.Unlock()
	t.names[name] = &thing{is}
}

// Names lists all that was ever asked for, in order.
func (t *Topology) Names() []string {
	t.l.mu.Lock()
	defer t.l.mu.Unlock()
	names := make([]string, 0, len(t.names))
	for name := range t.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Seen enters whether the broker has it, some time after a restart. What was open is
// settled by it.
func (t *Topology) Seen(name string, present bool) {
	l := t.l
	l.mu.Lock()
	defer l.mu.Unlock()
	thing := t.names[name]
	switch {
	case thing.is == there && !present:
		l.violation(Wrong, "%s was made and is not there", name)
	case thing.is == away && present:
		l.violation(Wrong, "%s was deleted and is there", name)
	}
	if thing.is = away; present {
		thing.is = there
	}
}
