// Package store is the storage engine: queues of messages on a write-ahead
// log, with acks, requeues, checkpoints and recovery.
package store
