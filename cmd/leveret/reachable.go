package main

import (
	"time"

	"github.com/leveret-mq/leveret/httpd"
	"github.com/leveret-mq/leveret/internal/certs"
)

// reachable tells where the process can be reached, by RabbitMQ's names of protocols.
// An address is empty where there is no listener.
func reachable(amqp listeners, source *certs.Source, http, metrics string) []httpd.Listener {
	var all []httpd.Listener
	if addr := amqp.addr("amqp"); addr != "" {
		all = append(all, httpd.Listener{Protocol: "amqp", Addr: addr})
	}
	if addr := amqp.addr("amqps"); addr != "" {
		all = append(all, httpd.Listener{Protocol: "amqp/ssl", Addr: addr, Certificate: func() (string, time.Time) {
			return source.Subject(), source.NotAfter()
		}})
	}
	if http != "" {
		all = append(all, httpd.Listener{Protocol: "http", Addr: http})
	}
	if metrics != "" {
		all = append(all, httpd.Listener{Protocol: "http/prometheus", Addr: metrics})
	}
	return all
}
