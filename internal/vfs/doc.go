// Package vfs is the file system as the storage engine sees it: a narrow
// interface, the operating system behind it, and doubles that lose power or
// fail at a chosen operation.
package vfs
