// Package jsontable turns AMQP's field tables into JSON values and back, as the
// management API and definitions write them. It is pure.
//
//	JSON             field table              and back
//	string           long string              bytes that are no UTF-8 become base64
//	integer          64-bit integer           all integers, timestamps
//	other number     double                   floats; NaN and infinities become text
//	true, false      boolean
//	array, object    array, table
//	null             refused, or void         void, decimals are text
//
// So a table that came from JSON is the same after a journey to JSON and back, and
// one that came from a client is equivalent to what RabbitMQ makes of it.
package jsontable
