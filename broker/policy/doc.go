// Package policy is what policies and operator policies are: their definitions
// and what may stand in them, which queues and exchanges one applies to, which
// one wins, and what policy and operator policy together say. It is pure; package
// broker keeps policies and acts on them.
package policy
