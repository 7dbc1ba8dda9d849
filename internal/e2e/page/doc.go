// Package page holds the tests of the management page: Chromium, driven by Playwright,
// before a real broker. It has no code but tests.
//
// The scenarios are programs of Node.js in testdata (steps.mjs is what they share,
// *.scenario.mjs are the scenarios). A test of Go starts the built leveret and traffic
// through it, runs all scenarios in one browser, each in a profile of its own, and makes
// of each a subtest. A scenario fails, too, where the page wrote an error to the browser's
// console, a promise was left to fail, or the Content-Security-Policy had to prevent
// something. Nothing in them waits for time to pass: they wait for what shall be seen.
//
// Screenshots lie in test-output/page at the root of the tree afterwards; the log names
// them.
//
// What is needed: Chromium (Debian's; CHROMIUM names another), Node.js, the package of npm
// in testdata (../install-clients installs all three), and a page to test: make ui, since the
// binary is built here with what lies in httpd/page/dist. What is missing fails the
// test.
//
//	LEVERET_E2E_BINARY  a leveret to test instead of one built from ./cmd/leveret
//	SCENARIO            run the scenarios whose name contains this
package page
