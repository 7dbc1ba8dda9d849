package index

import "testing"

// One message that nobody acks keeps the queue from being empty, while any number of
// messages that have no time to wait pass it by.
func TestMessagesWithoutTimeThatAreTakenLeaveNoMemory(t *testing.T) {
	q := &Queue{}
	kept := q.Push(MakeEntry(0, 130, 100, Logged))
	_, e, _ := q.Peek()
	q.Take(kept, e)
	for i := range uint64(10_000) {
		seq := q.PushExpiring(MakeEntry(150*(i+1), 130, 100, Logged), AtOnce)
		_, e, _ := q.Peek()
		q.Take(seq, e)
		q.Ack(seq, seq, nil)
	}
	if n := len(q.exp.once); n > 2*keepOnce {
		t.Errorf("%d times are kept of messages that are gone", n)
	}
	seq := q.PushExpiring(MakeEntry(0, 130, 100, Logged), AtOnce)
	if got, _, ok := q.ExpiredAtOnce(); !ok || got != seq {
		t.Errorf("%d, %v", got, ok)
	}
}
