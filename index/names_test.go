package index

import "testing"

func TestSnapshotNames(t *testing.T) {
	for name, want := range map[string]struct {
		prefix string
		number uint64
		ok     bool
	}{
		"checkpoint-00000000000000000012":     {CheckpointPrefix, 12, true},
		"catalog-18446744073709551615":        {CatalogPrefix, 1<<64 - 1, true},
		"catalog-18446744073709551616":        {CatalogPrefix, 1<<64 - 1, false},
		"checkpoint-12":                       {CheckpointPrefix, 12, false},
		"checkpoint-+0000000000000000012":     {CheckpointPrefix, 0, false},
		"checkpoint-00000000000000000012.tmp": {CheckpointPrefix, 0, false},
		"other-00000000000000000012":          {},
		"":                                    {},
	} {
		prefix, number, ok := ParseSnapshotName(name)
		if ok != want.ok || ok && (prefix != want.prefix || number != want.number || SnapshotName(prefix, number) != name) {
			t.Errorf("%q: %q %d %v", name, prefix, number, ok)
		}
	}
}
