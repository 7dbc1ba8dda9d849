// Package amqp is the vocabulary of AMQP 0-9-1 that broker and codec share:
// field tables, basic properties and reply codes. It does no I/O and knows
// neither frames nor methods (amqpd/wire does) nor what an argument means
// (broker does).
//
// Tables and properties are kept as the bytes that came over the wire and read
// in place: a value that nobody changes leaves the broker bit for bit as it
// entered, and a message whose headers nobody asks for costs nothing. [Table],
// [Array] and [Properties] are therefore byte slices with methods. Validate
// says once, at the border, whether the bytes are well-formed; the getters never
// panic on bytes that are not, they see what stands before the damage.
//
// Slices that getters return alias the bytes they were read from.
//
// # Field tables
//
// A table on the wire is a u32 length and that many bytes of fields; [Table]
// holds the fields without the length. All integers are big endian.
//
//	field: name length u8, name, value
//	value: type u8, payload
//
// The types are RabbitMQ's, not those of the AMQP 0-9-1 document, from which
// every implementation departs in the same way
// (https://www.rabbitmq.com/amqp-0-9-1-errata):
//
//	type  name           payload
//	t     bool           u8, 0 is false, all else is true
//	b     byte           i8
//	B     unsignedbyte   u8
//	s     short          i16
//	u     unsignedshort  u16
//	I     signedint      i32
//	i     unsignedint    u32
//	l L   long           i64
//	f     float          IEEE 754, 32 bits
//	d     double         IEEE 754, 64 bits
//	D     decimal        scale u8, value u32
//	S     longstr        length u32, bytes
//	x     binary         length u32, bytes
//	T     timestamp      u64, seconds since 1970
//	A     array          length u32 in bytes, values without names
//	F     table          length u32 in bytes, fields
//	V     void           nothing
//
// A name that occurs twice is kept twice; lookups find the first, as RabbitMQ's
// do. Tables and arrays nest at most [MaxDepth] deep. Size is bounded by the
// frame that carried the table; no length in the bytes ever causes an
// allocation.
//
// # Properties
//
// The property list of a content header of class basic, which [Properties]
// holds: flags u16, then the values of the properties whose flag is set, in the
// order of the flags.
//
//	bit  property          type      bit  property     type
//	15   content-type      shortstr  8    expiration   shortstr
//	14   content-encoding  shortstr  7    message-id   shortstr
//	13   headers           table     6    timestamp    u64
//	12   delivery-mode     u8        5    type         shortstr
//	11   priority          u8        4    user-id      shortstr
//	10   correlation-id    shortstr  3    app-id       shortstr
//	9    reply-to          shortstr  2    cluster-id   shortstr
//
// A shortstr is a length u8 and that many bytes. Bits 1 and 0 belong to no
// property and must be zero.
package amqp
