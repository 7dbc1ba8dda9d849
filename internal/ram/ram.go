// Package ram tells how much memory there is for this process: that of the
// machine, or of the control group or container that it is in, if that may have
// less. It knows nothing of how much is in use.
package ram

// Total is how many bytes of memory this process may have, together with what
// else is in its control group. An error says that it is not known.
func Total() (int64, error) { return total() }
