// Package lint holds the house's rules as tests: which package may import
// which, that each package says what it is, and that a file keeps to one topic.
// It has no code of its own.
package lint
