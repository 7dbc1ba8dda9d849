// Package access is who may do what: users and their password hashes, tags,
// permissions, limits. It is pure: it keeps nothing, knows no vhost's contents,
// and does no I/O. Package broker keeps its values in the catalog and asks it at
// every method.
//
// # Passwords
//
// A password is kept as a hash, never as itself. Leveret makes argon2id, in the
// usual form of a string ($argon2id$v=19$m=19456,t=2,p=1$salt$sum). RabbitMQ's
// salted hashes (SHA-256, SHA-512, and MD5 of old, which is refused) are taken over
// as they are, so that users can be moved with their passwords; the next change of
// the password makes an argon2id one.
//
// A user without a hash, and the empty password, never pass. Who tries a user that
// does not exist waits as long as who has one's password wrong.
//
// A Login remembers the last password that was right, as a keyed hash whose key is
// made anew with each process, so that a thousand connections that come back cost
// one argon2. A wrong password leaves nothing there, and a changed one passes no
// more, since the stored hash is part of what is remembered. Checks wait for each
// other, so that they take half of the processors at most, and 19 MiB each; passwords
// that are hashed, such as those of an import, wait likewise. A refusal costs that much
// at least, whatever the stored hash costs.
//
// # Tags
//
// administrator, monitoring, policymaker and management say what the management
// API shows; impersonator lets a user publish with another's user-id. Other tags are
// kept and have no meaning here.
//
// # Permissions
//
// A user has, in each vhost, three patterns: what it may configure (declare,
// delete), write (publish to, bind to) and read (consume, get, purge, bind from).
// A pattern is searched for in the name of a queue or exchange; the default
// exchange is called amq.default. As in RabbitMQ it matches anywhere unless it has
// ^ and $, and the empty pattern matches nothing but the empty name.
//
// Patterns are RE2 (package regexp), whose time is linear in the name's length, not
// PCRE: look-around ((?=, (?!, (?<), back references and possessive quantifiers
// are refused when they are set; a dot is a character, not a byte; and $ is the end,
// not also before a last line feed.
//
// # Topic permissions
//
// For an exchange of type topic a user may have two more patterns, for the routing
// keys that it may publish with (write) and bind with (read). No such entry permits
// all. In them {username}, {vhost} and {client_id} stand for the connection's; the
// values are taken literally, where RabbitMQ would take them as part of the pattern.
// A variable that the connection does not have (a client_id in AMQP 0-9-1) is left
// as it stands.
//
// # Limits
//
// Vhosts: max-connections, max-queues. Users: max-connections, max-channels. A
// negative limit is none.
//
// # Files
//
//	user.go         users, tags
//	hash.go         password hashes
//	login.go        checking a password, and remembering that it was right
//	permissions.go  patterns by vhost, and by exchange
//	pattern.go      regular expressions
//	limits.go       limits of vhosts and users
package access
