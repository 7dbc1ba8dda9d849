package amqpd

import "sync"

// Read buffers come in classes, each four times the one before. A connection
// holds one only while there are bytes in it: what waits for a silent peer is a
// file descriptor, not a buffer.
var readSizes = [...]int{4 << 10, 16 << 10, 64 << 10, 256 << 10}

var readPools = [...]sync.Pool{
	{New: func() any { return new([4 << 10]byte) }},
	{New: func() any { return new([16 << 10]byte) }},
	{New: func() any { return new([64 << 10]byte) }},
	{New: func() any { return new([256 << 10]byte) }},
}

// getReadBuf returns a buffer of the class.
func getReadBuf(class int) []byte {
	switch p := readPools[class].Get().(type) {
	case *[4 << 10]byte:
		return p[:]
	case *[16 << 10]byte:
		return p[:]
	case *[64 << 10]byte:
		return p[:]
	case *[256 << 10]byte:
		return p[:]
	}
	panic("amqpd: read pool holds a foreign value")
}

// putReadBuf gives a buffer back; one of no class (a frame_max over the largest)
// is left to the collector.
func putReadBuf(b []byte) {
	switch len(b) {
	case 4 << 10:
		readPools[0].Put((*[4 << 10]byte)(b))
	case 16 << 10:
		readPools[1].Put((*[16 << 10]byte)(b))
	case 64 << 10:
		readPools[2].Put((*[64 << 10]byte)(b))
	case 256 << 10:
		readPools[3].Put((*[256 << 10]byte)(b))
	}
}

// classFor is the smallest class that holds n bytes, or -1.
func classFor(n int) int {
	for class, size := range readSizes {
		if n <= size {
			return class
		}
	}
	return -1
}
