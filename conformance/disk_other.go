//go:build !linux

package conformance

import "errors"

func diskFree() (uint64, error) { return 0, errors.ErrUnsupported }

func (t *T) ownDisk() {}

func (t *T) fillDisk(uint64) (free func()) { return func() {} }
