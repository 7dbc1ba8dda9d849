package conformance

import (
	"crypto/tls"
	"regexp"
	"slices"
	"strings"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// Behaviour 2.

func init() {
	register(
		Case{Behaviour: "2", Name: "start offers PLAIN and AMQPLAIN, no more without TLS", Run: func(t *T) {
			got := strings.Fields(t.Dial().Start.Mechanisms)
			for _, want := range []string{"PLAIN", "AMQPLAIN"} {
				if !slices.Contains(got, want) {
					t.Errorf("mechanisms %q lack %s", got, want)
				}
			}
			if slices.Contains(got, "EXTERNAL") {
				t.Errorf("mechanisms %q: nobody has shown a certificate", got)
			}
		}},
		Case{Behaviour: "2", Name: "TLS 1.2 and TLS 1.3 are spoken", Needs: TLS, Run: func(t *T) {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				config := t.Peer.TLSClient.Clone()
				config.MinVersion, config.MaxVersion = version, version
				ch := t.DialAs(Login{TLS: config}).Channel().Confirm()
				q := ch.Queue(nil)
				ch.Put(q, strings.Repeat("x", 300_000))
				ch.ExpectDrain(q, strings.Repeat("x", 300_000))
			}
		}},
		Case{Behaviour: "2", Name: "TLS before 1.2 is not spoken", Needs: TLS, Plus: "RabbitMQ takes TLS 1.1 where its configuration does not forbid it", Run: func(t *T) {
			config := t.Peer.TLSClient.Clone()
			config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
			nc, err := tls.Dial("tcp", t.Peer.TLSAddr, config)
			if err == nil {
				nc.Close()
				t.Errorf("TLS 1.1 is spoken")
			}
		}},
		Case{Behaviour: "2", Name: "start offers EXTERNAL to a client with a certificate", Needs: TLS, Run: func(t *T) {
			got := strings.Fields(t.DialAs(Login{TLS: t.Peer.TLSClient}).Start.Mechanisms)
			if !slices.Contains(got, "EXTERNAL") {
				t.Errorf("mechanisms %q lack EXTERNAL", got)
			}
		}},
		Case{Behaviour: "2", Name: "start is of version 0-9 and offers en-US", Run: func(t *T) {
			start := t.Dial().Start
			if start.VersionMajor != 0 || start.VersionMinor != 9 || !slices.Contains(strings.Fields(start.Locales), "en_US") {
				t.Errorf("version %d-%d, locales %q", start.VersionMajor, start.VersionMinor, start.Locales)
			}
		}},
		Case{Behaviour: "2", Name: "the product is RabbitMQ and the version three numbers", Run: func(t *T) {
			props := Plain(t.Dial().Start.ServerProperties)
			if props["product"] != "RabbitMQ" {
				t.Errorf("product %v", props["product"])
			}
			version, _ := props["version"].(string)
			if !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(version) {
				t.Errorf("version %q", version)
			}
			for _, name := range []string{"platform", "cluster_name"} {
				if s, _ := props[name].(string); s == "" {
					t.Errorf("%s %v", name, props[name])
				}
			}
		}},
		Case{Behaviour: "2", Name: "the capabilities are all there", Run: func(t *T) {
			can, _ := Plain(t.Dial().Start.ServerProperties)["capabilities"].(Args)
			for _, name := range []string{"publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify",
				"connection.blocked", "consumer_priorities", "authentication_failure_close", "per_consumer_qos", "direct_reply_to"} {
				if can[name] != true {
					t.Errorf("capability %s is %v", name, can[name])
				}
			}
		}},
		Case{Behaviour: "2", Name: "login by PLAIN and by AMQPLAIN", Run: func(t *T) {
			t.DialAs(Login{Mechanism: "PLAIN"}).Channel()
			t.DialAs(Login{Mechanism: "AMQPLAIN"}).Channel()
		}},
		Case{Behaviour: "2", Name: "login with a client certificate by EXTERNAL", Needs: TLS, Run: func(t *T) {
			t.DialAs(Login{TLS: t.Peer.TLSClient, Mechanism: "EXTERNAL"}).Channel().Sync()
		}},
		Case{Behaviour: "2", Name: "a mechanism that is not offered is 530 or 501, not a login", Run: func(t *T) {
			c := t.Raw()
			c.Send([]byte(wire.ProtocolHeader))
			Expect[*wire.ConnectionStart](c.On(0))
			c.SendMethod(0, Login{User: "guest", Mechanism: "NONSENSE", Response: "x"}.startOk())
			e, err := c.await(0, deadline(), isMethod(wire.IDConnectionTune))
			t.Logf("%v %v", e, err)
			if err == nil {
				t.Fatalf("logged in by a mechanism that does not exist")
			}
			c.ExpectingEnd()
		}},
	)
}
