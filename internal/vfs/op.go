package vfs

import "strings"

// Op is a set of kinds of operation: Mem reports one kind at a time to its
// hook, ErrFS takes sets of them to match.
type Op uint32

// The kinds of operation. OpCreate to OpMkdir change the file system or make
// it durable: these are the ones that Mem numbers and can be cut at.
const (
	OpCreate Op = 1 << iota
	OpWrite
	OpSync
	OpRename
	OpRemove
	OpSyncDir
	OpMkdir
	OpOpen
	OpRead
	OpSize
	OpClose
	OpReadDir
	OpLock
	OpFree
	opEnd

	// OpMutating is all that Mem numbers.
	OpMutating = OpCreate | OpWrite | OpSync | OpRename | OpRemove | OpSyncDir | OpMkdir
	// OpAny is every operation.
	OpAny = opEnd - 1
)

var opNames = [...]string{"create", "write", "sync", "rename", "remove", "syncdir", "mkdir",
	"open", "read", "size", "close", "readdir", "lock", "free"}

// String lists the kinds in the set, joined by a bar.
func (o Op) String() string {
	if o&OpAny == OpAny {
		return "any"
	}
	var names []string
	for i, n := range opNames {
		if o&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, "|")
}
