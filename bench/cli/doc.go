// Package cli is the command leveret bench: package bench with the options of
// RabbitMQ's PerfTest, its lines and its CSV, and a report.
//
//	flags.go   the options, and what they make of a bench.Config
//	argv.go    PerfTest's spellings: -qa, -qpf, -ms
//	command.go the command: scenarios, signals, exit codes
//	lines.go   a line an interval, the summary, CSV
//	report.go  one HTML file with charts
package cli
