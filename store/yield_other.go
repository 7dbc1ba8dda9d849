//go:build !linux

package store

import "runtime"

// giveWay lets others run in the midst of work in the background.
func giveWay() { runtime.Gosched() }
