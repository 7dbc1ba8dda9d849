// Package exporter is what Prometheus scrapes: a broker's figures in its text format,
// with RabbitMQ's names, labels and types, so that dashboards and alerts made for
// RabbitMQ show Leveret; and leveret_… for what RabbitMQ has not.
//
// # Paths
//
//	GET /metrics             the broker as a whole; its size does not depend on how
//	                         many objects there are. Sums over queues, channels and
//	                         connections are the monitor's, at most 5 s old, so
//	                         that no scrape walks over 100,000 queues
//	GET /metrics/per-object  a line for each queue, channel, connection and exchange
//	GET /metrics/detailed    RabbitMQ's groups of metrics that ?family= names, several
//	                         times if need be, of the vhosts that ?vhost= names; the
//	                         names begin with rabbitmq_detailed_, so that a server
//	                         can scrape this path and /metrics
//
// Answers need no login, as in RabbitMQ. While recovery runs they hold what is known
// (rabbitmq_identity_info, leveret_ready 0, Go's and the process's figures), with
// code 200, so that a scrape tells a broker that starts from one that is away.
//
// # What is told otherwise than by RabbitMQ
//
// docs/monitoring.md lists the metrics that there are not (of Erlang's virtual
// machine, Raft, Mnesia) and why; a test compares with RabbitMQ's list. rabbitmq_erlang_…
// are Go's figures, as far as there is a like. Counters of a whole broker never fall:
// what a queue, channel or connection has counted stays in them when it goes. The
// metrics of RabbitMQ 3 that have a line for each pair of a channel and a queue have
// one a queue here, and those for pairs of a channel and an exchange one a channel.
// RabbitMQ 4's groups queue_delivery_metrics and exchange_metrics are there too, and its
// label rabbitmq_endpoint.
//
// # Bounds
//
// Connections are few (Options.MaxConnections) since they take descriptors that the
// storage engine may need; for one over the bound one is closed that has had no request
// for longest. A request must come within 5 s, its
// answer be taken within 60 s, and an idle connection is closed after 90 s. Of answers
// with a line an object one is made at a time: it holds a copy of the objects' figures.
//
// # Files
//
//	server.go     the server, paths, compression
//	answers.go    what each path answers
//	view.go       where figures come from
//	families.go global.go
//	              tables of metrics of the whole broker
//	objects.go    tables of metrics of single objects
//	help.go       texts that both share
//	engine.go     leveret_…
//	telemetry.go  what scrapes cost
//	text.go       the format
package exporter
