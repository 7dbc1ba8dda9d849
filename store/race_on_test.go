//go:build race

package store

// slower is how many times fewer runs the tests of crashes have here: they have one
// goroutine at work at a time, and nothing to race with.
const slower = 4
