// Package routing holds the tables by which exchanges find the destinations of
// a message: [Direct], [Fanout], [Topic], [Headers], [ConsistentHash] and
// [Random], behind the one interface [Table]. They are pure: a destination is any
// comparable value, typically a pointer to a queue or to an exchange, and nothing is
// known of what it is.
//
// What they promise: Match returns each destination once however many of its
// bindings match; it takes no lock, runs beside changes, sees a whole version of
// the table, and allocates nothing a message. Changes are serialised by the
// table itself, idempotent, and visible to every Match that begins after them.
//
// What they leave to others: bindings between exchanges and their cycles (a
// destination may be an exchange; broker walks on), durability, permissions, the
// default exchange's implicit bindings, alternate exchanges.
//
// # Rules
//
//	type               a binding matches where
//	direct             its key is the message's routing key
//	fanout             always
//	topic              its key, a pattern, fits the routing key word by word
//	headers            its arguments, a pattern, fit the message's headers
//	x-consistent-hash  it is the one that the message's hash chooses
//	x-random           chance chooses it
//
// Topic: words are parted by dots; empty words count, so "a..b" has three and
// "." has two, but the empty key has none. * is any one word, # any number of
// words, none included; they mean that only as a whole word.
//
// Headers: x-match is all (the default), any, all-with-x or any-with-x. Fields
// whose names begin with x- are left out of the pattern unless x-match says
// -with-x; x-match itself always is. A field without a value wants the header to
// be there, whatever it is. Values are compared by [amqp.Same]: numbers by what
// they are worth whatever their types, strings byte for byte. A pattern without
// fields matches everything under all and nothing under any. Topic and headers
// have been compared with RabbitMQ 3.10 over thousands of random bindings; the
// one difference found is that it takes an empty array and an empty table for
// the same value.
//
// Consistent hash: a binding's key is its weight, an integer from 1 on. What is
// hashed is the routing key, or by the exchange's arguments a header (hash-header)
// or a property (hash-property: message_id, correlation_id, timestamp); messages
// that lack it all go one way. A destination with several bindings has the sum of
// their weights, where RabbitMQ counts one of them. Adding or removing a binding
// moves its share of the messages and nothing else, and where they go depends on
// names and weights alone: neither on the order of bindings nor on the process.
//
// Both that choose one take one for each message, whatever keys CC and BCC add.
//
// A binding's identity is its destination, its key and its arguments, the latter
// without regard to order and to widths of integers. All types keep it so, also
// those to which keys or arguments mean nothing.
//
// # Copy on write
//
// A published version is never changed. Match loads it by one atomic pointer; a
// change builds the next version and swaps it in. Copying a whole map for each
// binding would make loading 100,000 of them quadratic, so the versions share
// structure:
//
//	structure  used for                            a change copies
//	hamt       keys of a direct table, words       the path to the leaf: for 100,000
//	           of a topic trie's node, the         keys 4 nodes, 1 KiB together
//	           headers index
//	trie       topic patterns                      the nodes of the pattern's words
//	set        the destinations at one key or      adding: a header (the rest is
//	           node, all those of a fanout         appended past the published
//	                                               length); removing: 512 and the
//	                                               list of the 512s
//
// Binding 100,000 queues to one exchange one by one takes 0.1 to 0.4 s, so that
// there is no bulk loader. Taking one away from a set of 100,000 scans their
// ordinals, some 20 µs, which a position index kept for every destination would
// not be worth.
//
// The rejected way is plain maps under a read-write lock. A change would cost
// less, but each message of each connection would write the lock's cache line,
// and a large topology loaded at run time would stall publishers. A read of a
// hash map by copy and atomic pointer with shards was rejected because a shard
// that is small enough to copy needs to split as the table grows, which is a
// hamt.
//
// A version of a topic table becomes a deterministic automaton as keys come: a step a
// word, whatever number of patterns match, also for keys that never came before. What
// is not learnt yet, or would take too much memory, is a walk that visits a node of the
// trie at most once a word, so that patterns with many # cost no exponential time.
// With 10,000 patterns, of which 100 match, a walk takes 5 us and the automaton's steps
// 0.2. An automaton takes 4 MiB at the most, whatever keys come. A change of the table
// begins with none, and nothing is rebuilt for it: what is learnt is learnt from the 16th
// key on, by one publisher at a time, a key's own places, while the others walk. (The way
// before was a cache by routing key: it helps no key that is new.)
// Headers tables look only at patterns that share a field with the message.
//
// # Files
//
//	routing.go      Table, New, the half of a table that changes
//	ledger.go       the book of bindings: identity, first and last reasons
//	direct.go fanout.go topic.go headers.go consistent.go random.go
//	                                          the types
//	topic_match.go  the walk through the trie; automaton.go what is learnt of it
//	hamt.go set.go  the persistent structures; hash.go hashes of header values
package routing
