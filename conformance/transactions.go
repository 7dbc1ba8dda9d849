package conformance

import (
	"fmt"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// Behaviour 33: transactions.

// transactional makes the channel transactional.
func (ch *Channel) transactional() *Channel {
	ch.t.Helper()
	Call[*wire.TxSelectOk](ch, &wire.TxSelect{})
	return ch
}

func (ch *Channel) commit() {
	ch.t.Helper()
	Call[*wire.TxCommitOk](ch, &wire.TxCommit{})
}

func (ch *Channel) rollback() {
	ch.t.Helper()
	Call[*wire.TxRollbackOk](ch, &wire.TxRollback{})
}

func init() {
	register(
		Case{Behaviour: "33", Name: "publishes take effect at commit", Run: func(t *T) {
			watch := t.Channel()
			q := watch.Queue(nil)
			ch := t.Channel().transactional()
			ch.Publish(Message{Key: q, Body: "1"})
			ch.Publish(Message{Key: q, Body: "2"})
			ch.Sync()
			if n, _ := watch.Count(q); n != 0 {
				t.Errorf("%d messages before the commit", n)
			}
			ch.commit()
			watch.ExpectDrain(q, "1", "2")
		}},
		Case{Behaviour: "33", Name: "a rollback discards publishes", Run: func(t *T) {
			watch := t.Channel()
			q := watch.Queue(nil)
			ch := t.Channel().transactional()
			ch.Publish(Message{Key: q, Body: "discarded"})
			ch.rollback()
			ch.Publish(Message{Key: q, Body: "kept"})
			ch.commit()
			ch.commit() // an empty one
			watch.ExpectDrain(q, "kept")
		}},
		Case{Behaviour: "33", Name: "closing the channel or connection discards what was not committed", Run: func(t *T) {
			watch := t.Channel()
			q := watch.Queue(nil)
			c := t.Dial()
			ch := c.Channel().transactional()
			ch.Publish(Message{Key: q, Body: "discarded"})
			ch.Close()
			ch = c.Channel().transactional()
			ch.Publish(Message{Key: q, Body: "discarded"})
			ch.Sync()
			c.Close()
			if n, _ := watch.Count(q); n != 0 {
				t.Errorf("%d messages", n)
			}
		}},
		Case{Behaviour: "33", Name: "acks take effect at commit", Run: func(t *T) {
			watch := t.Channel().Confirm()
			q := watch.Queue(nil)
			watch.Put(q, "1", "2", "3")
			c := t.Dial()
			ch := c.Channel().transactional()
			for range 2 {
				d, _ := ch.Get(q, false)
				ch.Ack(d.Tag)
			}
			ch.commit()
			d, _ := ch.Get(q, false)
			ch.Ack(d.Tag)
			ch.Sync()
			c.Close() // the last was not committed
			watch.Await(q, 1)
			if d := watch.Take(q); d.Body != "3" || !d.Redelivered {
				t.Errorf("got %+v", d)
			}
		}},
		Case{Behaviour: "33", Name: "rejects and nacks take effect at commit", Run: func(t *T) {
			ch := t.Channel().transactional()
			watch := t.Channel().Confirm()
			dead := watch.Queue(nil)
			q := watch.Queue(Args{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
			watch.Put(q, "1", "2", "3")
			for i := range 3 {
				d, _ := ch.Get(q, false)
				switch i {
				case 0:
					ch.Reject(d.Tag, false)
				case 1:
					ch.Nack(d.Tag, false)
				case 2:
					ch.Nack(d.Tag, true)
				}
			}
			ch.Sync()
			if a, _ := watch.Count(q); a != 0 {
				t.Errorf("%d messages came back before the commit", a)
			}
			if a, _ := watch.Count(dead); a != 0 {
				t.Errorf("%d messages are dead before the commit", a)
			}
			ch.commit()
			watch.Await(dead, 2)
			watch.Await(q, 1)
			watch.ExpectDrain(dead, "1", "2")
			watch.ExpectDrain(q, "3")
		}},
		Case{Behaviour: "33", Name: "after a rollback acks can be sent again", Run: func(t *T) {
			watch := t.Channel().Confirm()
			q := watch.Queue(nil)
			watch.Put(q, "1", "2")
			ch := t.Channel().transactional()
			one, _ := ch.Get(q, false)
			two, _ := ch.Get(q, false)
			ch.AckAll(two.Tag)
			ch.rollback()
			ch.Ack(two.Tag)
			ch.Ack(one.Tag)
			ch.commit()
			ch.Close()
			if n, _ := watch.Count(q); n != 0 {
				t.Errorf("%d messages came back", n)
			}
		}},
		Case{Behaviour: "33", Name: "a rollback does not requeue what is unacked", Run: func(t *T) {
			watch := t.Channel().Confirm()
			q := watch.Queue(nil)
			watch.Put(q, "1")
			ch := t.Channel().transactional()
			d, _ := ch.Get(q, false)
			ch.Ack(d.Tag)
			ch.rollback()
			ch.Sync()
			if n, _ := watch.Count(q); n != 0 {
				t.Errorf("%d ready messages after the rollback", n)
			}
			ch.Close()
			watch.Await(q, 1)
		}},
		Case{Behaviour: "33", Name: "an ack of an unknown tag in a transaction is 406 at once", Run: func(t *T) {
			ch := t.Channel().transactional()
			ch.Refused(&wire.BasicAck{DeliveryTag: 99}, 406, "PRECONDITION_FAILED - unknown delivery tag 99")
		}},
		Case{Behaviour: "33", Name: "publishing to a missing exchange in a transaction is 404", Run: func(t *T) {
			watch := t.Channel()
			q := watch.Queue(nil)
			ch := t.Channel().transactional()
			ch.Publish(Message{Key: q, Body: "discarded"})
			ch.Publish(Message{Exchange: t.Name("none")})
			ch.ExpectClose(404)
			if n, _ := watch.Count(q); n != 0 {
				t.Errorf("%d messages of the failed transaction", n)
			}
		}},
		Case{Behaviour: "33", Name: "an unroutable mandatory message is returned at commit", Run: func(t *T) {
			ch := t.Channel().transactional()
			ch.Publish(Message{Key: t.Name("none"), Mandatory: true, Body: "back"})
			ch.Sync()
			if e, ok := Has[*wire.BasicReturn](ch); ok {
				t.Errorf("before the commit came %v", e)
			}
			ch.Send(&wire.TxCommit{})
			if d := ch.Return(); d.Body != "back" {
				t.Errorf("returned %+v", d)
			}
			Expect[*wire.TxCommitOk](ch)
		}},
		Case{Behaviour: "33", Name: "tx.select again is answered", Run: func(t *T) {
			ch := t.Channel().transactional().transactional()
			q := ch.Queue(nil)
			ch.Publish(Message{Key: q, Body: "x"})
			ch.commit()
			ch.ExpectDrain(q, "x")
		}},
		Case{Behaviour: "33", Name: "a commit over several queues is there as a whole after kill -9", Needs: Kill, Run: func(t *T) {
			ch := t.Channel()
			one, two := ch.Queue(nil), ch.Queue(nil)
			source := ch.Queue(nil)
			ch.Put(source, "to be acked")
			d, _ := ch.Get(source, false)
			ch.transactional()
			ch.Ack(d.Tag)
			for i := range 20 {
				for _, q := range []string{one, two} {
					ch.Publish(Message{Key: q, Body: fmt.Sprint(i), Props: Props{DeliveryMode: 2}})
				}
			}
			ch.commit()
			ch.Publish(Message{Key: one, Body: "not committed", Props: Props{DeliveryMode: 2}})
			ch.Sync()
			t.Kill()
			ch = t.Channel()
			for _, q := range []string{one, two} {
				if n, _ := ch.Count(q); n != 20 {
					t.Errorf("%d of 20 messages are there", n)
				}
			}
			ch.ExpectDrain(source)
		}},
		Case{Behaviour: "33", Name: "a kill at any moment leaves all of a transaction or nothing", Needs: Kill,
			Plus: "RabbitMQ's tx.commit is atomic within one queue only: its documentation says so. Leveret writes a commit as one record.", Run: func(t *T) {
				var queues []string
				for range 4 {
					queues = append(queues, t.Channel().Queue(nil))
				}
				committed, done := 0, make(chan struct{})
				t.KillUnder(func() {
					ch := t.Channel().transactional()
					ch.Conn.ExpectingEnd()
					enough := make(chan struct{})
					go func() { // goes on until the kill
						defer close(done)
						for i := range 100000 {
							for _, q := range queues {
								ch.Publish(Message{Key: q, Body: fmt.Sprint(i), Props: Props{DeliveryMode: 2}})
							}
							ch.Send(&wire.TxCommit{})
							if _, err := ch.Conn.await(ch.ID, deadline(), isMethod(wire.IDTxCommitOk)); err != nil {
								return
							}
							if committed++; committed == 20 {
								close(enough)
							}
						}
					}()
					select {
					case <-enough:
					case <-done:
						t.Errorf("the connection ended after %d commits", committed)
					}
				})
				<-done
				watch := t.Channel()
				first, _ := watch.Count(queues[0])
				if first < committed {
					t.Errorf("%d of %d committed messages are there", first, committed)
				}
				for _, q := range queues[1:] {
					if n, _ := watch.Count(q); n != first {
						t.Errorf("one queue has %d messages, another %d", first, n)
					}
				}
			}},
	)
}
