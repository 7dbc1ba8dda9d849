package conformance_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/leveret-mq/leveret/conformance"
	"github.com/leveret-mq/leveret/internal/peer"
)

const (
	resultsFile = "results.tsv"
	pageFile    = "../docs/compatibility.md"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Cases wait most of their time, and the suite bounds by itself how many run.
	_ = flag.Set("test.parallel", "10000")
	os.Exit(m.Run())
}

// started are the brokers of this run.
type started struct {
	mu      sync.Mutex
	brokers []*peer.Broker
	// complaints are what brokers have written of panics and data races.
	complaints []string
}

func (s *started) add(b *peer.Broker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.brokers = append(s.brokers, b)
}

// end ends a broker and keeps what it complains of.
func (s *started) end(b *peer.Broker) {
	words := b.Complaint()
	b.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if words != "" {
		s.complaints = append(s.complaints, words)
	}
	s.brokers = slices.DeleteFunc(s.brokers, func(other *peer.Broker) bool { return other == b })
}

// close ends all brokers.
func (s *started) close() {
	for _, b := range slices.Clone(s.brokers) {
		s.end(b)
	}
}

// controlled is a broker as the suite knows it.
func controlled(b *peer.Broker) *conformance.Peer {
	return &conformance.Peer{URL: b.URL, HTTP: b.HTTP, TLSAddr: b.TLSAddr, TLSClient: b.TLSClient, Restart: b.Restart}
}

// newSuite is the suite against the peer that the environment names.
func newSuite(t *testing.T) *conformance.Suite {
	t.Helper()
	if url := os.Getenv("CONFORMANCE_URL"); url != "" {
		return &conformance.Suite{Main: &conformance.Peer{URL: url, HTTP: os.Getenv("CONFORMANCE_HTTP")}}
	}
	var launch func(conformance.Options) (*peer.Broker, error)
	switch name := os.Getenv("CONFORMANCE_PEER"); name {
	case "", "leveret":
		binary := os.Getenv("CONFORMANCE_BINARY")
		if binary == "" {
			var err error
			if binary, err = peer.Build("..", t.TempDir()); err != nil {
				t.Fatal(err)
			}
		}
		binary, err := filepath.Abs(binary)
		if err != nil {
			t.Fatal(err)
		}
		launch = func(o conformance.Options) (*peer.Broker, error) {
			return peer.Leveret(t.Context(), binary, peer.Options{Args: o.Leveret})
		}
	case "rabbitmq":
		if err := peer.InstallRabbitMQ(); err != nil {
			t.Fatal(err)
		}
		launch = func(o conformance.Options) (*peer.Broker, error) {
			return peer.RabbitMQ(t.Context(), peer.Options{Config: o.RabbitMQ})
		}
	default:
		t.Fatalf("CONFORMANCE_PEER=%s: leveret or rabbitmq", name)
	}
	all := &started{}
	t.Cleanup(func() {
		all.close()
		for _, words := range all.complaints {
			t.Errorf("a broker's log:\n%s", words)
		}
	})
	start := func(o conformance.Options) (*peer.Broker, error) {
		b, err := launch(o)
		if err == nil {
			all.add(b)
		}
		return b, err
	}
	main, err := start(conformance.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &conformance.Suite{
		Main: controlled(main),
		Second: func() (*conformance.Peer, error) {
			b, err := start(conformance.Options{})
			if err != nil {
				return nil, err
			}
			return controlled(b), nil
		},
		Start: func(o conformance.Options) (*conformance.Peer, func(), error) {
			b, err := start(o)
			if err != nil {
				return nil, nil, err
			}
			return controlled(b), func() { all.end(b) }, nil
		},
	}
}

func TestConformance(t *testing.T) {
	suite := newSuite(t)
	if err := suite.Main.Prepare(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	results := conformance.Results{Peer: fmt.Sprintf("%s %s", suite.Main.Kind, suite.Main.Version), By: map[string]conformance.Status{}}
	t.Cleanup(func() { report(t, suite, results) })
	for _, c := range conformance.Cases() {
		t.Run(c.ID(), func(t *testing.T) {
			t.Parallel()
			r := suite.Run(c)
			mu.Lock()
			results.By[c.ID()] = r.Status
			mu.Unlock()
			switch {
			case r.Status == conformance.Failed && c.Plus != "" && suite.Main.Kind != conformance.Leveret:
				t.Logf("does not pass, by design: %s\n%s", c.Plus, r.Text)
			case r.Status == conformance.Failed:
				t.Error(r.Text)
			case r.Status == conformance.NotRun && suite.Main.Kind == conformance.Leveret:
				t.Errorf("not run: %s", r.Text)
			case r.Status == conformance.NotRun:
				t.Skipf("not run: %s", r.Text)
			case r.Text != "":
				t.Log(r.Text)
			}
		})
	}
}

// report counts, and compares or writes the results of a whole run against a broker
// that was started for it.
func report(t *testing.T, suite *conformance.Suite, results conformance.Results) {
	count := map[conformance.Status]int{}
	for _, s := range results.By {
		count[s]++
	}
	t.Logf("%s: %d passed, %d failed, %d not run", results.Peer,
		count[conformance.Passed], count[conformance.Failed], count[conformance.NotRun])
	if os.Getenv("CONFORMANCE_URL") != "" {
		return // a broker that somebody has set up as they like
	}
	update := os.Getenv("CONFORMANCE_UPDATE") != ""
	text, err := os.ReadFile(resultsFile)
	if err != nil {
		t.Fatal(err)
	}
	rabbitmq, err := conformance.ParseResults(string(text))
	if err != nil {
		t.Fatalf("%s: %v", resultsFile, err)
	}
	if suite.Main.Kind != conformance.Leveret {
		if update {
			// A part of the suite renews its part of the results.
			rabbitmq.Peer = results.Peer
			maps.Copy(rabbitmq.By, results.By)
			write(t, resultsFile, []byte(rabbitmq.Text()))
		}
		return
	}
	if len(results.By) < len(conformance.Cases()) {
		return // a part of it
	}
	page := conformance.Page(rabbitmq, results)
	if update {
		write(t, pageFile, page)
		return
	}
	if there, err := os.ReadFile(pageFile); err != nil || !bytes.Equal(there, page) {
		t.Errorf("%s is not what this run says (%v): run make conformance", pageFile, err)
	}
}

func write(t *testing.T, file string, b []byte) {
	t.Helper()
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCasesAreNamedOnceAndWell(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range conformance.Cases() {
		switch {
		case seen[c.ID()]:
			t.Errorf("%s: two cases have that name", c.ID())
		case conformance.Behaviours[c.Behaviour] == "":
			t.Errorf("%s: there is no such behaviour", c.ID())
		case c.Name == "" || strings.ContainsAny(c.Name, "|\t\n/"):
			t.Errorf("%s: a name is a line without | and /", c.ID())
		case c.Run == nil:
			t.Errorf("%s does nothing", c.ID())
		}
		seen[c.ID()] = true
	}
}

func TestEveryBehaviourHasACase(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range conformance.Cases() {
		seen[c.Behaviour] = true
	}
	for behaviour, title := range conformance.Behaviours {
		if !seen[behaviour] {
			t.Errorf("no case of behaviour %s: %s", behaviour, title)
		}
	}
}

// TestRabbitMQProvesEveryCase fails where a case was not run against RabbitMQ, or does
// not pass there and does not say why.
func TestRabbitMQProvesEveryCase(t *testing.T) {
	text, err := os.ReadFile(resultsFile)
	if err != nil {
		t.Fatal(err)
	}
	results, err := conformance.ParseResults(string(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range conformance.Cases() {
		switch status := results.By[c.ID()]; {
		case status == "":
			t.Errorf("%s has no result: make conformance PEER=rabbitmq", c.ID())
		case status == conformance.Failed && c.Plus == "":
			t.Errorf("%s fails on RabbitMQ and does not say why", c.ID())
		case status == conformance.NotRun && c.Needs&conformance.Delayed == 0:
			t.Errorf("%s was not run on RabbitMQ", c.ID())
		}
	}
}
