package amqpd

import "testing"

func TestConnectionsLeaveFilesForTheEngine(t *testing.T) {
	for _, c := range []struct{ files, configured, want int }{
		{0, 0, 0}, // no limit of the system's
		{0, 10, 10},
		{1024, 5000, 5000}, // the operator knows
		{1_048_576, 0, 943_719},
		{1024, 0, 922},
		{640, 0, 576},
		{256, 0, 192},
		{128, 0, 64},
		{20, 0, 10},
		{1, 0, 0},
	} {
		o := Options{MaxConnections: c.configured}
		if got := o.connectionLimit(c.files); got != c.want {
			t.Errorf("%d files, configured %d: %d connections, want %d", c.files, c.configured, got, c.want)
		}
	}
}
