package store

import (
	"math"
	"sync/atomic"
)

// milestone wakes a goroutine in the background when the log has grown to a place, once.
type milestone struct {
	at   atomic.Uint64 // LSN
	wake chan struct{}
}

// init sets no place yet.
func (m *milestone) init() {
	m.wake = make(chan struct{}, 1)
	m.at.Store(math.MaxUint64)
}

// set says where.
func (m *milestone) set(lsn uint64) { m.at.Store(lsn) }

// appended is told how far the log has grown.
func (m *milestone) appended(lsn uint64) {
	if at := m.at.Load(); lsn >= at && m.at.CompareAndSwap(at, math.MaxUint64) {
		m.poke()
	}
}

// poke wakes the goroutine at once. Any lock may be held.
func (m *milestone) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}
