// Package cost guards what a message costs the broker. It has no code but tests.
//
// A flow is messages on one of their ways through a whole broker: over sockets,
// published, confirmed, delivered, acked. It goes in lockstep: a burst is
// published, and the next one only when all of it has been confirmed and delivered.
// So a flow does the same work each time, and its work can be counted.
//
// # Allocations
//
// TestNothingIsAllocatedAMessage counts those of every flow, on a real disk. What a
// read, a commit or a write allocates is allowed a hundredth of a message's share;
// anything that a message allocates is far more.
//
// # Instructions
//
// TestInstructionsAMessage runs the flows under valgrind's callgrind, with one
// processor, no garbage collection and a file system in memory that keeps nothing,
// and compares the instructions a message with those in figures.tsv. They are the
// process's in user mode, without the kernel's: the broker's, Go's runtime's, and a
// client's that reads by the count and parses nothing of a delivery. Counts repeat
// within 1 % on a quiet machine, and come out up to 4 % higher on one with ten times as
// much to do as it has processors.
//
// A flow that takes a tenth more than its figure fails, and so does one that takes a
// tenth less: a figure that is far from what is true guards nothing. After a change
// that is meant, take the figures anew and commit them with it:
//
//	make cost
//
// The binary is built without a profile (PGO), so that figures follow the source.
// They depend on the release of Go that is noted with them; a new one is a reason to
// take them anew. Each flow's profile is left in bin/cost, and says where the
// instructions go, or went:
//
//	callgrind_annotate bin/cost/persistent.out | head -40
//
//	flow_test.go          flows, and the client that drives them
//	allocations_test.go   the guard on allocations
//	instructions_test.go  the guard on instructions
//	figures.tsv           instructions a message, by flow
package cost
