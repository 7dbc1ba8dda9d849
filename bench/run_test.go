package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startNull(t *testing.T, o NullOptions) *Null {
	t.Helper()
	o.circle = 1 << 20
	b, err := ListenNull(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func TestScenariosCountEachMessageOnce(t *testing.T) {
	for _, c := range []struct {
		name      string
		cfg       Config
		published uint64
		consumed  uint64
	}{
		{"flow", Config{Messages: 5000}, 5000, 5000},
		{"flow of one message", Config{Messages: 1}, 1, 1},
		{"flow, transient without confirms and acks", Config{Messages: 5000, Transient: true, NoConfirm: true, AutoAck: true}, 5000, 5000},
		{"flow, empty bodies", Config{Messages: 500, Size: -1}, 500, 500},
		{"flow, bodies too small for a stamp", Config{Messages: 500, Size: 15}, 500, 500},
		{"flow, bodies of exactly a frame", Config{Messages: 50, Size: 131072 - 8}, 50, 50},
		{"flow, bodies of several frames", Config{Messages: 50, Size: 1 << 20, Outstanding: 10}, 50, 50},
		{"flow, one outstanding", Config{Messages: 300, Outstanding: 1}, 300, 300},
		{"flow, seven outstanding", Config{Messages: 3000, Outstanding: 7, Prefetch: 5, AckEvery: 5}, 3000, 3000},
		{"latency", Config{Scenario: Latency, Messages: 300}, 300, 0},
		{"many", Config{Scenario: Many, Messages: 50, Queues: 8}, 400, 0},
		{"publish", Config{Scenario: Publish, Messages: 5000}, 5000, 0},
		{"fanout", Config{Scenario: Fanout, Messages: 1000, Queues: 4}, 1000, 4000},
		{"flow for a time", Config{Duration: 200 * time.Millisecond}, 0, 0},
	} {
		for _, sync := range []bool{false, true} {
			name := c.name
			o := NullOptions{}
			if sync {
				name += " with fdatasync"
				o.SyncDir = t.TempDir()
			}
			t.Run(name, func(t *testing.T) {
				c.cfg.URI = startNull(t, o).URI()
				res, err := Run(t.Context(), c.cfg)
				if err != nil {
					t.Fatal(err)
				}
				if c.cfg.Messages == 0 {
					c.published, c.consumed = res.Published, res.Published
				}
				if res.Published != c.published || res.Published == 0 || res.Consumed != c.consumed {
					t.Errorf("published %d, consumed %d, want %d and %d", res.Published, res.Consumed, c.published, c.consumed)
				}
				if res.Disordered != 0 || res.Redelivered != 0 || res.Nacked != 0 {
					t.Errorf("disordered %d, redelivered %d, nacked %d", res.Disordered, res.Redelivered, res.Nacked)
				}
				// A disk may take longer for one sync than a run of a set time lasts.
				if c.cfg.Messages > 0 && (res.PublishRate <= 0 || (res.ConsumeRate > 0) != (c.consumed > 0)) {
					t.Errorf("rates %v and %v", res.PublishRate, res.ConsumeRate)
				}
				if n := res.Confirm.Count; c.cfg.Messages > 0 && !c.cfg.NoConfirm && n != int64(c.published) {
					t.Errorf("%d confirm latencies", n)
				}
				stamped := c.cfg.Size == 0 || c.cfg.Size >= stampSize
				if n := res.Delivery.Count; c.cfg.Messages > 0 && stamped && n != int64(c.consumed) {
					t.Errorf("%d delivery latencies", n)
				}
				for _, l := range []Latencies{res.Confirm, res.Delivery} {
					if l.Count > 0 && (l.P50 <= 0 || l.P50 > l.P99 || l.P99 > l.Max) {
						t.Errorf("latencies %+v", l)
					}
				}
			})
		}
	}
}

func TestDrainSaysThatTheBrokerKeepsNothing(t *testing.T) {
	_, err := Run(t.Context(), Config{URI: startNull(t, NullOptions{}).URI(), Scenario: Drain, Messages: 100})
	if err == nil || !strings.Contains(err.Error(), "the broker does not keep them") {
		t.Errorf("got %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := Run(ctx, Config{URI: startNull(t, NullOptions{}).URI(), Duration: time.Hour})
	if err == nil || !strings.Contains(err.Error(), context.DeadlineExceeded.Error()) {
		t.Errorf("got %v", err)
	}
}

func TestRunEndsWhenTheBrokerGoes(t *testing.T) {
	b, err := ListenNull(NullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{URI: b.URI(), Duration: time.Hour}
	cfg.setDefaults()
	done := make(chan error)
	go func() {
		_, err := Run(t.Context(), cfg)
		done <- err
	}()
	for {
		b.mu.Lock()
		n := len(b.conns)
		b.mu.Unlock()
		if n == 3 {
			break
		}
	}
	b.Close()
	if err := <-done; err == nil {
		t.Error("no error")
	}
}

func TestDialReportsWhatIsNotAMQP(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			nc.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			nc.Close()
		}
	}()
	_, err = Run(t.Context(), Config{URI: "amqp://" + ln.Addr().String(), Messages: 1})
	if err == nil || !strings.Contains(err.Error(), "handshake") {
		t.Errorf("got %v", err)
	}
	ln.Close()
	if _, err = Run(t.Context(), Config{URI: "amqp://" + ln.Addr().String(), Messages: 1}); err == nil {
		t.Error("nobody listens, no error")
	}
}

// TestOtherClientsUnderstandTheNullBroker keeps client and null broker from
// sharing a misunderstanding of the protocol.
func TestOtherClientsUnderstandTheNullBroker(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		c, err := amqp091.Dial(startNull(t, NullOptions{SyncDir: dir}).URI())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ch, err := c.Channel()
		if err != nil {
			t.Fatal(err)
		}
		if err := ch.Confirm(false); err != nil {
			t.Fatal(err)
		}
		if _, err := ch.QueueDeclare("q", true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
		if err := ch.ExchangeDeclare("x", "fanout", true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
		if err := ch.QueueBind("q", "", "x", false, nil); err != nil {
			t.Fatal(err)
		}
		other, err := c.Channel()
		if err != nil {
			t.Fatal(err)
		}
		ds, err := other.Consume("q", "me", true, false, false, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, exchange := range []string{"", "x"} {
			body := strings.Repeat("b", 200_000)
			confirm, err := ch.PublishWithDeferredConfirm(exchange, "q", false, false, amqp091.Publishing{MessageId: "7", Body: []byte(body)})
			if err != nil {
				t.Fatal(err)
			}
			d := <-ds
			if d.MessageId != "7" || string(d.Body) != body || d.ConsumerTag != "me" || d.Exchange != exchange || d.RoutingKey != "q" {
				t.Errorf("got message %q of %d bytes for %q from %q with %q", d.MessageId, len(d.Body), d.ConsumerTag, d.Exchange, d.RoutingKey)
			}
			if !confirm.Wait() {
				t.Error("not confirmed")
			}
		}
	}
}

func TestSyncFileHoldsWhatIsConfirmedAndIsRemoved(t *testing.T) {
	dir := t.TempDir()
	b, err := ListenNull(NullOptions{SyncDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), Config{URI: b.URI(), Scenario: Latency, Messages: 20, Size: 1000}); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(files) != 1 {
		t.Fatalf("files %v", files)
	}
	if st, err := os.Stat(files[0]); err != nil || st.Size() < 20*1000 {
		t.Errorf("size %v, %v", st.Size(), err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if files, _ = filepath.Glob(filepath.Join(dir, "*")); len(files) != 0 {
		t.Errorf("left behind: %v", files)
	}
}

func TestResultIsWrittenAsTextAndJSON(t *testing.T) {
	res, err := Run(t.Context(), Config{URI: startNull(t, NullOptions{}).URI(), Messages: 1000, PID: os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	if res.BrokerRSS == 0 {
		t.Error("no memory of the broker")
	}
	var b bytes.Buffer
	if err := res.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"flow: 100 B, persistent, 1000 outstanding", "published", "consumed", "confirm    p50", "delivery   p50", "broker's memory"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
	out, err := json.Marshal(res)
	if err != nil {
		t.Fatal(err)
	}
	var back Result
	if err := json.Unmarshal(out, &back); err != nil || !reflect.DeepEqual(back, *res) {
		t.Errorf("%v: %s", err, out)
	}
}
