// Package page is what a browser is given by the management server: the files of the
// page, the headers that bound what a page may do, and the sessions of who is logged
// in. What the page shows it asks the management API for.
//
// # Files of the page
//
// The page is written in TypeScript, in ui/ at the root of the tree, and built by
// make ui into dist, which is embedded but not kept in version control. A binary that
// was built without it serves a page that says how to build it; everything else works.
//
// Names of scripts and styles change with their contents, so that a browser may keep
// them for ever (Cache-Control: immutable). The index is asked for each time, and its
// ETag makes that cheap. What compresses is sent with gzip to whoever takes it.
//
// # Headers
//
// The policy (Content-Security-Policy) permits scripts and styles from files of this
// server alone: none in HTML, no eval, no HTML made of text by scripts (Trusted Types),
// no other server to talk to, no frame around the page. Protect sets the headers, on
// what the API answers too.
//
// # Sessions
//
// A session is begun with a password and is known by a cookie, which scripts cannot
// see (HttpOnly) and other sites cannot make a browser send (SameSite=Strict). The
// cookie holds 256 random bits; the server keeps a hash of them, in memory: a restart
// ends all sessions. A session ends at logout, when it is MaxAge old, or when nothing was
// asked with it for MaxIdle. Sessions are bounded for each user and altogether. Where
// there would be one too many, the one that was idle longest gives way, first of the
// same user.
//
// Sessions know of users no more than their names. Whoever asks keeps with each a
// proof of its own, to find out whether the user is still the one that logged in.
//
// # Files
//
//	files.go     the page's files, embedded
//	headers.go   what a browser is told that a page may do
//	sessions.go  who is logged in
//	dist/        what make ui has built
package page
