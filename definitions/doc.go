// Package definitions writes down what a broker is set up to be, without its messages,
// and makes another broker so: users with their hashed passwords, vhosts, permissions,
// limits, policies, parameters, and what is in the vhosts. The form is the JSON that
// RabbitMQ's management exports, from 3.8 on, so that definitions travel both ways.
//
//	key                 of                                       here
//	users               name, password_hash, hashing_algorithm, tags, limits
//	vhosts              name; description, tags, default_queue_type, also below metadata
//	permissions         user, vhost, configure, write, read
//	topic_permissions   user, vhost, exchange, write, read
//	parameters          vhost, component, name, value            see below
//	global_parameters   name, value                              kept
//	policies            vhost, name, pattern, apply-to, definition, priority
//	queues              vhost, name, durable, auto_delete, arguments
//	exchanges           vhost, name, type, durable, auto_delete, internal, arguments
//	bindings            vhost, source, destination, destination_type, routing_key, arguments
//
// Definitions of one vhost have parameters, policies, queues, exchanges and bindings,
// without the name of the vhost, which whoever imports them says.
//
// Parameters are a vhost's limits (component vhost-limits, name limits), operator
// policies (operator_policy), and what plugins of RabbitMQ keep: shovels and upstreams
// of federations are kept and given back, and mean nothing here. Other components are
// refused, as by a RabbitMQ without the plugin.
//
// # Import
//
// All of it is checked before anything changes: a file with a mistake changes nothing.
// Then it is made, each object on disk when Import returns. What is there and not in the
// definitions stays. Users, vhosts, permissions, limits, policies and parameters that
// are there become as the definitions say; queues, exchanges and bindings that are
// there stay as they are, as in RabbitMQ. So to import twice is to import once, and
// what is the same already is not written again.
//
// Limits come last, so that they do not keep out what the definitions have. A binding
// of which one end is neither there nor in the definitions is passed over with a warning
// (RabbitMQ: without one): exports have some, to queues that are exclusive.
//
// A password in the clear is taken too ("password" in place of the hash). A hash made by
// this broker is exported as argon2id, its text in base64. RabbitMQ imports it, but does
// not know how to check it: there such a user needs a new password.
//
// # What is not in definitions
//
// Messages, exclusive queues, connections, the exchanges that every vhost has, and the
// queues' bindings to the default exchange.
package definitions
