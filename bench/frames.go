package bench

import (
	"io"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// frameReader reads frames in place in one buffer, which grows to the largest
// thing that has to lie in it at once. Both the clients and the null broker
// read with it.
type frameReader struct {
	src        io.Reader
	buf        []byte
	start, end int // what is read and not yet used
}

// readBuffer is large enough that a busy peer's bytes come in few reads.
const readBuffer = 256 << 10

func newFrameReader(src io.Reader, size int) frameReader {
	return frameReader{src: src, buf: make([]byte, size)}
}

// pending is what has been read and not used.
func (r *frameReader) pending() []byte { return r.buf[r.start:r.end] }

// use takes n bytes from the front.
func (r *frameReader) use(n int) { r.start += n }

// fill reads once, having made room for at least need bytes from the front of
// what is pending. Frames parsed before are no longer valid.
func (r *frameReader) fill(need int) error {
	if r.start == r.end {
		r.start, r.end = 0, 0
	}
	if len(r.buf)-r.start < need || r.end == len(r.buf) {
		buf := r.buf
		if size := max(need, r.end-r.start+1); size > len(buf) {
			buf = make([]byte, 2*size)
		}
		r.end = copy(buf, r.pending())
		r.start, r.buf = 0, buf
	}
	n, err := r.src.Read(r.buf[r.end:])
	r.end += n
	if n > 0 {
		return nil
	}
	return err
}

// next returns the next frame, reading as often as it takes.
func (r *frameReader) next(frameMax uint32) (wire.Frame, error) {
	for {
		f, n, err := wire.ParseFrame(r.pending(), frameMax)
		if err != nil {
			return f, err
		}
		if n <= r.end-r.start {
			r.use(n)
			return f, nil
		}
		if err := r.fill(n); err != nil {
			return f, err
		}
	}
}
