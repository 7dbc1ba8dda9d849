package bench

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// The scenarios.
const (
	Flow    = "flow"    // one publisher, one consumer
	Latency = "latency" // one publisher with one outstanding confirm, no consumer
	Many    = "many"    // publishers on queues of their own, one outstanding confirm each
	Publish = "publish" // one publisher, no consumer: a backlog
	Drain   = "drain"   // one consumer eats a backlog
	Fanout  = "fanout"  // one publisher, a fanout exchange, a consumer a queue
)

// Scenarios lists them.
var Scenarios = []string{Flow, Latency, Many, Publish, Drain, Fanout}

// Config is one run. The zero value of a field takes its default.
type Config struct {
	URI      string `json:"uri"`
	Scenario string `json:"scenario"` // default flow

	Size int `json:"size"` // bytes of a body; default 100. For an empty body -1
	// Content is what bodies are made of: Pattern (the default) or JSON.
	Content     string `json:"content"`
	Transient   bool   `json:"transient"`   // delivery-mode 1 instead of 2
	NoConfirm   bool   `json:"no_confirm"`  // no publisher confirms; the socket alone bounds the publisher
	Outstanding int    `json:"outstanding"` // unconfirmed messages a publisher may have; default 1000, for latency and many 1

	Prefetch int  `json:"prefetch"`  // default 1000
	AckEvery int  `json:"ack_every"` // multiple=true after so many deliveries; default 100, at most Prefetch
	AutoAck  bool `json:"auto_ack"`

	// Queues is the number of publishers and queues in many (default 64), of
	// queues and consumers in fanout (default 10), else 1.
	Queues int `json:"queues"`

	// QueueType is the argument x-queue-type, if any.
	QueueType string `json:"queue_type,omitempty"`
	// Queue names the queue; with several, -0, -1 and so on follow. Default
	// amqpbench. Keep leaves the queues as they are before and after the run,
	// else they are deleted.
	Queue string `json:"queue"`
	Keep  bool   `json:"keep,omitempty"`

	// A run ends after Messages published by each publisher (in drain: consumed;
	// default there 1,000,000), or else after Duration (default 5 s), of which
	// Warmup (default a tenth) is not measured.
	Messages int           `json:"messages,omitempty"`
	Duration time.Duration `json:"duration"`
	Warmup   time.Duration `json:"warmup"`

	// PID is the broker's process, if its processor time and memory are to be
	// measured too. Linux only.
	PID int `json:"pid,omitempty"`
}

func (c *Config) setDefaults() {
	set := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	if c.Scenario == "" {
		c.Scenario = Flow
	}
	if c.Content == "" {
		c.Content = Pattern
	}
	if c.Size < 0 {
		c.Size = 0
	} else {
		set(&c.Size, 100)
	}
	switch c.Scenario {
	case Latency, Many:
		set(&c.Outstanding, 1)
	default:
		set(&c.Outstanding, 1000)
	}
	switch c.Scenario {
	case Many:
		set(&c.Queues, 64)
	case Fanout:
		set(&c.Queues, 10)
	default:
		set(&c.Queues, 1)
	}
	if c.Scenario == Drain {
		set(&c.Messages, 1_000_000)
	}
	set(&c.Prefetch, 1000)
	set(&c.AckEvery, min(100, c.Prefetch))
	if c.Queue == "" {
		c.Queue = "amqpbench"
	}
	if c.Duration == 0 {
		c.Duration = 5 * time.Second
	}
	if c.Warmup == 0 {
		c.Warmup = c.Duration / 10
	}
}

// Validate reports what can not be run. Defaults need not be set.
func (c Config) Validate() error {
	c.setDefaults()
	if _, _, _, _, err := address(c.URI); err != nil {
		return err
	}
	switch {
	case !slices.Contains(Scenarios, c.Scenario):
		return fmt.Errorf("scenario %q is none of %q", c.Scenario, Scenarios)
	case c.Content != Pattern && c.Content != JSON:
		return fmt.Errorf("content %q is neither %q nor %q", c.Content, Pattern, JSON)
	case c.Size > 128<<20:
		return fmt.Errorf("size %d is more than 128 MiB", c.Size)
	case c.Outstanding < 1 || c.Queues < 1 || c.Messages < 0:
		return errors.New("outstanding and queues must be positive, messages not negative")
	case c.Prefetch < 1 || c.Prefetch > 65535:
		return fmt.Errorf("prefetch %d is not in 1 to 65535", c.Prefetch)
	case c.AckEvery < 1 || c.AckEvery > c.Prefetch:
		return fmt.Errorf("ack-every %d is not in 1 to the prefetch of %d: the consumer would starve", c.AckEvery, c.Prefetch)
	case c.Duration < 0 || c.Warmup < 0 || c.Messages == 0 && c.Warmup >= c.Duration:
		return fmt.Errorf("warm-up of %v in a run of %v", c.Warmup, c.Duration)
	case c.Queues > 1 && c.Scenario != Many && c.Scenario != Fanout:
		return fmt.Errorf("scenario %s has one queue, not %d", c.Scenario, c.Queues)
	case c.NoConfirm && (c.Scenario == Latency || c.Scenario == Many):
		return fmt.Errorf("scenario %s waits for confirms", c.Scenario)
	}
	return nil
}
