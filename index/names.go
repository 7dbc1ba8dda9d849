package index

import (
	"fmt"
	"strconv"
	"strings"
)

// What the names of snapshot files begin with; their number follows, in 20 digits.
const (
	CheckpointPrefix = "checkpoint-"
	CatalogPrefix    = "catalog-"
)

// SnapshotName is the base name of a snapshot file.
func SnapshotName(prefix string, number uint64) string { return fmt.Sprintf("%s%020d", prefix, number) }

// ParseSnapshotName takes a snapshot file's name apart.
func ParseSnapshotName(name string) (prefix string, number uint64, ok bool) {
	for _, prefix := range []string{CheckpointPrefix, CatalogPrefix} {
		if digits, ok := strings.CutPrefix(name, prefix); ok {
			number, err := strconv.ParseUint(digits, 10, 64)
			return prefix, number, err == nil && name == SnapshotName(prefix, number)
		}
	}
	return "", 0, false
}
