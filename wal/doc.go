// Package wal is a write-ahead log: opaque records in, log sequence numbers
// out, and a promise that what was reported durable is found again.
package wal
