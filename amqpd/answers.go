package amqpd

import "github.com/leveret-mq/leveret/amqpd/wire"

// Declarations, bindings and deletions that come in a row in one read are answered
// together: the broker makes each at once, and one wait for the disk is for all of them.
// Anything else on the connection that they come before happens after their answers.

// answer is a method that is owed to the peer until the disk has what it speaks of.
type answer struct {
	channel uint16
	method  wire.Method
}

// mostAnswers bounds the answers that wait, fewAnswers those for which there is room kept.
const mostAnswers, fewAnswers = 1024, 8

// changesTopology tells whether a method is one whose answer may wait: those of the
// classes exchange and queue are.
func changesTopology(id wire.ID) bool { return id.Class() == 40 || id.Class() == 50 }

// owe answers a method with what answer will send.
func (c *conn) owe(channel uint16, m wire.Method) {
	c.answers = append(c.answers, answer{channel, m})
	if len(c.answers) == mostAnswers {
		c.answer()
	}
}

// answer waits until the disk has what the session changed, and sends what is owed for
// that.
func (c *conn) answer() {
	if len(c.answers) == 0 {
		return
	}
	list := c.answers
	c.answers = nil // what follows may come here again
	err := c.session.Await()
	if err == nil {
		c.mu.Lock()
		for _, a := range list {
			c.sayMethod(a.channel, a.method)
		}
		c.mu.Unlock()
	}
	clear(list)
	if cap(list) <= fewAnswers { // an idle connection holds no more
		c.answers = list[:0]
	}
	if err != nil {
		c.failWith(err, 0)
	}
}
