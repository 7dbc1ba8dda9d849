// Package index keeps the state of one queue: which of its messages are gone,
// where the others are, and in what order they go out.
package index
