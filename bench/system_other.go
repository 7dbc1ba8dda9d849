//go:build !linux

package bench

import (
	"os"
	"time"
)

var epoch = time.Now()

func monotonic() int64 { return int64(time.Since(epoch)) }

// Nap sleeps.
func Nap(d time.Duration) { time.Sleep(d) }

func syncData(f *os.File) error { return f.Sync() }
