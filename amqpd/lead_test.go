package amqpd

import (
	"net"
	"runtime"
	"testing"

	"github.com/leveret-mq/leveret/broker"
)

// A reader commits after a large read where its connection has had the log to itself
// for a while, and after a small one in any case.
func TestWhichReadsLead(t *testing.T) {
	srv := &Server{}
	conns := make([]*conn, 2)
	for i := range conns {
		conns[i] = &conn{srv: srv, opts: &Options{LeadBytes: 4096}, batch: new(broker.Batch)}
	}
	a, b := conns[0], conns[1]
	const all = 1 << 30
	check := func(what string, c *conn, most int) {
		t.Helper()
		if !c.leads(most) || most < all && c.leads(most+1) {
			t.Errorf("%s: leads after %d bytes: %v; one more: %v", what, most, c.leads(most), c.leads(most+1))
		}
	}
	check("a new one", a, 4096)
	for range aloneAfter {
		a.noteFlush()
		check("too early", a, 4096)
	}
	a.noteFlush()
	check("alone", a, all)
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
	check("alone again", b, all)

	srv.alarm.Store(&alarm{})
	check("under an alarm", b, 4096)
	srv.alarm.Store(nil)
	check("after it", b, all)
	b.pubs = 1 // of an empty batch: as if something else were in it
	check("with an ack", b, 4096)
	b.noteFlush()
	b.pubs = 0
	check("after an ack", b, 4096)
	for range aloneAfter {
		b.noteFlush()
	}
	check("but publishes again", b, all)

	never := &conn{srv: srv, opts: &Options{LeadBytes: -1}}
	for range 2 * aloneAfter {
		never.noteFlush()
	}
	if never.leads(1) {
		t.Error("leads though it never should")
	}
}

// More of a read is what has come already, as far as there is room for it.
func TestReadMore(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	c := &conn{nc: server}
	if c.raw = newRawIO(c); c.raw == nil {
		if runtime.GOOS != "windows" && runtime.GOOS != "plan9" {
			t.Fatal("no raw reads")
		}
		t.Skip("this system has no raw reads")
	}
	write := func(p []byte) {
		t.Helper()
		if _, err := client.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	write([]byte("a"))
	if n, err := c.fill(); n != 1 || err != nil {
		t.Fatalf("read %d bytes, %v", n, err)
	}
	if n := c.readMore(); n != 0 {
		t.Fatalf("read %d bytes where there is too little room", n)
	}
	c.class = 2
	c.settleReadBuf()
	if n := c.readMore(); n != 0 || c.w != 1 {
		t.Fatalf("read %d bytes where none have come", n)
	}
	sent := make([]byte, len(c.buf))
	for i := range sent {
		sent[i] = byte(i % 251)
	}
	write(sent)
	got := 0
	for len(c.buf)-c.w >= moreBytes { // the loopback device may take its time
		got += c.readMore()
	}
	if got+1 != c.w || string(c.buf[1:c.w]) != string(sent[:got]) || c.buf[0] != 'a' {
		t.Errorf("read %d bytes, and not those that were sent", got)
	}
	if full := c.w == len(c.buf); full != (c.class == 3) {
		t.Errorf("%d of %d bytes are full, and the next buffer is of class %d", c.w, len(c.buf), c.class)
	}
	if n := c.readMore(); n != 0 {
		t.Errorf("read %d bytes where there is too little room", n)
	}
	client.Close()
	c.r = c.w
	c.settleReadBuf()
	for n, err := 1, error(nil); n > 0; {
		if n, err = c.fill(); n == 0 && err == nil {
			t.Fatal("the end is no error")
		}
		c.r = c.w
	}
	c.buf, c.r, c.w = make([]byte, 64<<10), 0, 0
	if n := c.readMore(); n != 0 {
		t.Errorf("read %d bytes behind the end", n)
	}
}
