// Package wire is the codec of AMQP 0-9-1: bytes to values and values to bytes,
// for both sides of a connection. It does no I/O, starts nothing and keeps no
// state: what may follow what, channels and their contents' assembly are the
// connection's business (amqpd). Tables, properties and errors are those of
// internal/amqp.
//
// Any bytes give a value or an error. The error is an *amqp.Error with the reply
// code that the peer should get; nothing panics, and no length that a peer
// claims is allocated before its bytes are there.
//
// # Two ways in
//
// The hot methods (basic.publish, deliver, return, get-ok, ack, nack and reject)
// have a Decode method of their own, which reads in place and allocates nothing;
// the slices alias the buffer. All others go through [Decode], which returns one
// of this package's structs, copied out of the buffer. Both are held to the same
// table, [Definitions].
//
//	f, n, err := wire.ParseFrame(buf, frameMax)
//	switch {
//	case err != nil:      // 501, close the connection
//	case n > len(buf):    // read more: n bytes make a frame
//	case f.Type == wire.FrameMethod:
//		id, args, err := wire.CutID(f.Payload)
//		if id == wire.IDBasicPublish {
//			var m wire.BasicPublish
//			err = m.Decode(args)
//		} else {
//			m, err := wire.Decode(id, args)
//		}
//	case f.Type == wire.FrameHeader:
//		h, err := wire.DecodeHeader(f.Payload)
//	}
//
// The Append functions append whole frames to a buffer. AppendDeliver and its
// like append all frames of a content and grow the buffer at most once.
//
// # Formats
//
// All integers are big endian. A connection begins with the client's protocol
// header, "AMQP" 0 0 9 1; all that follows in both directions is frames.
//
//	frame   offset  size
//	type         0     1   1 method, 2 header, 3 body, 8 heartbeat
//	channel      1     2   0 for the class connection and heartbeats
//	size         3     4   of the payload
//	payload      7  size
//	end     7+size     1   0xCE
//
// frame_max, which both sides negotiate, bounds a frame with these eight bytes
// around the payload. Frames up to eight bytes longer are let pass, since
// clients exist that do not count them.
//
//	method payload          offset  size
//	class                        0     2
//	method                       2     2
//	arguments                    4        the fields of the definition in order
//
//	field kind              bytes
//	octet                   1
//	short, long, longlong   2, 4, 8, unsigned
//	shortstr                length u8, bytes, UTF-8 in the methods without content
//	longstr                 length u32, bytes
//	table                   length u32, fields (internal/amqp)
//	bit                     consecutive bits share an octet, the first is the lowest
//
//	header payload          offset  size
//	class                        0     2   60, basic
//	weight                       2     2   0
//	body size                    4     8
//	property flags              12     2
//	property values             14         (internal/amqp)
//
// A method that carries content is followed by its header frame and, where the
// body is not empty, by as many body frames as the body needs, each filled to
// frame_max − 8. Frames of other channels may stand between them.
//
// # Errors
//
//	501 FRAME_ERROR       unknown frame type, frame too long, wrong end octet, heartbeat
//	                      with a payload, method arguments that are too short, too
//	                      long or not UTF-8, content header too short
//	502 SYNTAX_ERROR      malformed table or properties, malformed SASL response
//	503 COMMAND_INVALID   a method that is not defined
//	505 UNEXPECTED_FRAME  a content header of another class than basic, or of a
//	                      weight, a heartbeat on a channel
//
// These are RabbitMQ's codes. Where RabbitMQ drops the connection without a word
// (malformed tables in methods, methods that do not exist) or answers 541
// (malformed properties), the peer gets the code that says what is wrong.
package wire
