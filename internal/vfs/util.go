package vfs

import (
	"errors"
	"io"
)

// ReadFile reads a whole file.
func ReadFile(fsys FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil // shorter than its size was a moment ago, or empty
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return b[:n], nil
}
