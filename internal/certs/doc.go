// Package certs makes the TLS side of a listener from files: a certificate and
// its key, the authorities that client certificates may come from, and which
// user such a certificate stands for. It knows nothing of AMQP.
//
// A [Source] is what the files said when they were last read well. Reload reads
// them again; what it cannot use changes nothing, and connections that stand are
// not touched. So certificates are renewed by replacing the files and asking for
// a reload.
//
// There is TLS 1.2 and 1.3 with the cipher suites that crypto/tls takes for good
// today. Sessions are not resumed: a connection of a message broker lives long,
// and a resumed one would be judged by authorities that may be gone since.
//
// # The name in a certificate
//
// [Login] reads it as RabbitMQ does: the distinguished name in the order and with
// the short names of RFC 4514 ("CN=client,O=Example"), the common name, or the
// first alternative name of a kind. Only a certificate that was verified has a
// name; the caller sees to that.
//
// # Files
//
//	certs.go  certificates, keys and authorities, read and read again
//	login.go  the name in a certificate
package certs
