// Package monitor samples what a broker does and keeps the samples for a while, for
// who asks how fast it goes and how it went: httpd and exporter.
//
// # What is kept
//
//	of                      for                            where
//	--------------------    ---------------------------    --------------------------------
//	the broker, its node    1 h at 5 s, 24 h at 1 min      0.8 MB, whatever happens
//	a vhost                 the same                       17 KB for each figure that moved
//	a queue, exchange,      10 min at 5 s, while some-     1 KB for each figure that moved,
//	channel, connection     thing happened in these        and 0.6 KB
//	                        10 min
//	any other object        nothing but its last counts    about 100 bytes
//
// A figure that has not moved takes no room, nor does an object that has been idle for
// 10 minutes. What vhosts and objects take together is bounded by Options.Memory:
// beyond that, further ones have rates and no samples. Rates are of the last interval,
// between the last two samples, as RabbitMQ's are.
//
// An object that was idle for longer than that, and then does something, has a rate of
// 0 for its first interval, unless it never did anything before: what its counts were
// is forgotten. What a connection carried after its last sample, when it has ended,
// is not in the sums of bytes.
//
// # What it costs
//
// A sample walks over all objects. It holds no lock of the broker for longer than an
// object takes, or than it takes to copy some hundred queues' addresses (the list of
// other objects), and allocates nothing for those that are idle: 100,000 idle queues take
// some 45 ms of one processor, 1 %, most of it waiting for memory. Between 2,048 objects
// and the next it sleeps for a millisecond, so that no message waits for all of them.
// Totals and Node cost an atomic load, Rates a lookup;
// none of them walks over objects. Nor is a lock of the broker taken below the one that
// readers need.
//
// # Files
//
//	monitor.go  a monitor's life; the broker as a whole
//	totals.go   the walks over objects; sums
//	walk.go     what is remembered of each object
//	node.go process_linux.go process_other.go
//	            the process, its memory and files
//	field.go    figures, and which of them what kind of object has
//	series.go   samples in rings
//	history.go  rates and samples for who asks
package monitor
