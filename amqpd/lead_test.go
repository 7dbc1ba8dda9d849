package amqpd

import "testing"

// A reader commits after a large read where its connection has had the log to itself
// for a while, and after a small one in any case.
func TestWhichReadsLead(t *testing.T) {
	srv := &Server{}
	conns := make([]*conn, 2)
	for i := range conns {
		conns[i] = &conn{srv: srv, opts: &Options{LeadBytes: 4096}}
	}
	a, b := conns[0], conns[1]
	check := func(what string, c *conn, most int) {
		t.Helper()
		if !c.leads(most) || c.leads(most+1) {
			t.Errorf("%s: leads after %d bytes: %v; one more: %v", what, most, c.leads(most), c.leads(most+1))
		}
	}
	check("a new one", a, 4096)
	for range aloneAfter {
		a.noteFlush()
		check("too early", a, 4096)
	}
	a.noteFlush()
	check("alone", a, aloneBytes)
	check("the other", b, 4096)
	b.noteFlush()
	check("disturbed", a, 4096)
	for range 100 {
		a.noteFlush()
		b.noteFlush()
	}
	check("one of two", a, 4096)
	check("one of two", b, 4096)
	for range aloneAfter {
		b.noteFlush()
	}
	check("alone again", b, aloneBytes)

	never := &conn{srv: srv, opts: &Options{LeadBytes: -1}}
	for range 2 * aloneAfter {
		never.noteFlush()
	}
	if never.leads(1) {
		t.Error("leads though it never should")
	}
}
