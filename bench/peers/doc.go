// Package peers measures Leveret beside its ceilings and its peers, in turn on one
// machine, and puts the ratios beside what they must reach. Only they mean anything: a
// figure of another day or machine says nothing of these.
//
// # What is measured how
//
// A [measure] is one or more runs of `leveret bench` against each broker, whose command
// lines are its data. In each turn every broker has its run, A B A B; what is shown is
// the median of the turns, and a ratio is of two medians. Leveret and the null brokers,
// which start in no time, are started anew with an empty folder for each run. RabbitMQ
// and NATS are started once and stopped (SIGSTOP) while others are measured. Before each
// run the file systems are synced. The load generator shares the processors with the
// broker, as it does in every column.
//
// The ceiling is the null broker: it parses, forwards and stores nothing, or, where
// messages are persistent, writes what it read over a file and calls fdatasync once a
// group before it confirms. What a broker with that promise reaches of it is what its
// own work costs.
//
// Peers are told to do what they are asked and nothing else. What they promise differs:
// a classic queue of RabbitMQ confirms before the message is on disk, and so does
// JetStream as it comes, which syncs every two minutes. Where a peer is too slow for the
// number of messages, it has fewer.
//
// JetStream has no AMQP. Its client here is nats.go, with the same windows.
//
// # Results
//
// [Results] have every sample, the machine, versions and command lines. A whole run
// writes bench/results/peers.json, from which the README's performance section is
// written; one that is narrowed to some measures replaces only those when it is asked
// to, and each says when it was taken. A test holds the README to the file.
//
// # Files
//
//	measures.go          what is run: the data
//	rows.go              what of it is shown, and what must be reached: the data
//	session.go           the turns
//	brokers.go load.go   who is measured, and one run of leveret bench
//	jetstream.go         one run by nats.go
//	results.go           samples and medians, as JSON
//	table.go section.go  for the terminal and for the README
package peers
