package amqpd

import (
	"net"
	"sync"
)

// Sizes of a piece of outgoing bytes. A connection that answers a method now and
// then makes do with small pieces; one that streams gets large ones.
const (
	smallPiece = 4 << 10
	largePiece = 64 << 10
)

var (
	smallPieces = sync.Pool{New: func() any { return new([smallPiece]byte) }}
	largePieces = sync.Pool{New: func() any { return new([largePiece]byte) }}
)

// outBuf is bytes on their way to the socket, in pooled pieces, so that growth
// copies nothing and an idle connection holds nothing. A frame may cross pieces;
// what one room call encloses does not. The owner's lock guards it.
type outBuf struct {
	pieces [][]byte // only the last is appended to
	size   int
}

// room returns the tail to append at most n bytes to. commit must follow before
// anything else touches the buffer.
func (o *outBuf) room(n int) []byte {
	if k := len(o.pieces); k > 0 {
		if tail := o.pieces[k-1]; cap(tail)-len(tail) >= n {
			return tail
		}
	}
	var piece []byte
	switch {
	case len(o.pieces) == 0 && n <= smallPiece:
		piece = smallPieces.Get().(*[smallPiece]byte)[:0]
	case n <= largePiece:
		piece = largePieces.Get().(*[largePiece]byte)[:0]
	default:
		piece = make([]byte, 0, n)
	}
	o.pieces = append(o.pieces, piece)
	return piece
}

// commit takes back the tail with what was appended to it.
func (o *outBuf) commit(tail []byte) {
	k := len(o.pieces) - 1
	o.size += len(tail) - len(o.pieces[k])
	o.pieces[k] = tail
}

// write copies p in, across pieces where it is larger than what is left of one.
func (o *outBuf) write(p []byte) {
	for len(p) > 0 {
		k := len(o.pieces) - 1
		if k < 0 || len(o.pieces[k]) == cap(o.pieces[k]) {
			o.room(min(len(p), largePiece))
			k = len(o.pieces) - 1
		}
		tail := o.pieces[k]
		n := copy(tail[len(tail):cap(tail)], p)
		o.pieces[k] = tail[:len(tail)+n]
		o.size += n
		p = p[n:]
	}
}

// take moves all of from's bytes behind those there are.
func (o *outBuf) take(from *outBuf) {
	o.pieces = append(o.pieces, from.pieces...)
	o.size += from.size
	*from = outBuf{}
}

// release gives every piece back to its pool.
func (o *outBuf) release() {
	for i, piece := range o.pieces {
		putPiece(piece)
		o.pieces[i] = nil
	}
	o.pieces = o.pieces[:0]
	if cap(o.pieces) > 64 {
		o.pieces = nil
	}
	o.size = 0
}

func putPiece(piece []byte) {
	switch cap(piece) {
	case smallPiece:
		smallPieces.Put((*[smallPiece]byte)(piece[:smallPiece]))
	case largePiece:
		largePieces.Put((*[largePiece]byte)(piece[:largePiece]))
	}
}

// outFlight is what a write in progress has taken from an outBuf: whoever holds
// the connection's writing token owns it, without a lock.
type outFlight struct {
	outBuf
	off  int // bytes of the first pieces that the socket has taken
	iov  net.Buffers
	rest net.Buffers // what a write has left of iov: it eats its vector from the front
}

// take moves all of o's bytes here. The flight must be empty.
func (f *outFlight) take(o *outBuf) {
	f.outBuf, *o = *o, f.outBuf
	f.off = 0
}

// left is how many bytes the socket has not taken yet.
func (f *outFlight) left() int { return f.size - f.off }

// advance notes that the socket has taken n more bytes.
func (f *outFlight) advance(n int) {
	f.off += n
	if f.off == f.size {
		f.release()
		f.off = 0
	}
}

// buffers returns what is left as a vector for one writev.
func (f *outFlight) buffers() *net.Buffers {
	f.iov = f.iov[:0]
	skip := f.off
	for _, piece := range f.pieces {
		if skip >= len(piece) {
			skip -= len(piece)
			continue
		}
		f.iov = append(f.iov, piece[skip:])
		skip = 0
	}
	f.rest = f.iov
	return &f.rest
}

// first returns the first bytes that are left, as one slice.
func (f *outFlight) first() []byte {
	skip := f.off
	for _, piece := range f.pieces {
		if skip < len(piece) {
			return piece[skip:]
		}
		skip -= len(piece)
	}
	return nil
}
