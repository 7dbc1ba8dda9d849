package access

import (
	"fmt"
	"maps"
	"slices"
)

// Names of limits.
const (
	MaxConnections = "max-connections" // of vhosts and users
	MaxQueues      = "max-queues"      // of vhosts
	MaxChannels    = "max-channels"    // of users
)

// Limits are limits by name. One that is negative is none, as is one that is not
// there.
type Limits map[string]int

// Get returns a limit, or -1 where there is none.
func (l Limits) Get(name string) int {
	if n, ok := l[name]; ok && n >= 0 {
		return n
	}
	return -1
}

// Clone makes a copy, which is never nil.
func (l Limits) Clone() Limits {
	c := make(Limits, len(l))
	maps.Copy(c, l)
	return c
}

// CheckVHostLimit refuses a name that is no limit of vhosts.
func CheckVHostLimit(name string) error { return checkLimit(name, MaxConnections, MaxQueues) }

// CheckUserLimit refuses a name that is no limit of users.
func CheckUserLimit(name string) error { return checkLimit(name, MaxConnections, MaxChannels) }

func checkLimit(name string, known ...string) error {
	if slices.Contains(known, name) {
		return nil
	}
	return fmt.Errorf("unrecognised limit '%s': known are %q", name, known)
}
