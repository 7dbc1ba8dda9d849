package segment

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	poison = true // whoever reads memory that was given back shall see it
	goleak.VerifyTestMain(m)
}

// Tests of one goroutine are built without the race detector, which would only
// make them slow: see their build tags.
