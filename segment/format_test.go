package segment

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenItems have one of everything that a file holds: blocks of queues, a
// mixed one, a shared one, gaps. Nothing of them compresses.
func goldenItems() []item {
	return []item{
		{queue: 7, seq: 5, payload: "alpha"},
		{queue: 7, seq: 6, payload: ""},
		{queue: 9, seq: 1 << 40, payload: "beta"},
		{queue: 7, seq: 300, payload: "gamma"},
		{queue: 7, seq: 301, payload: "to many", share: 1},
		{queue: 8, seq: 0, payload: "to many", share: 1},
		{queue: 8, seq: 1, payload: "to two", share: 2},
		{queue: 7, seq: 302, payload: noise(rand.New(rand.NewPCG(1, 1)), 150)},
		{queue: 7, seq: 303, payload: "to two", share: 2},
		{queue: 7, seq: 304, payload: "omega"},
	}
}

// goldenExpiry is when a golden item expires.
func goldenExpiry(payload []byte) int64 {
	switch string(payload) {
	case "gamma":
		return 0x112233445566
	case "to two":
		return 1000
	}
	return 0
}

// goldenFile builds a file with a nonce that is known.
func goldenFile(t *testing.T, h fileHeader, o Options, items []item) []byte {
	t.Helper()
	m := memFS(t)
	b, err := create(m, testDir, h, o)
	must(t, err)
	must(t, add(b, items))
	_, err = b.Finish()
	must(t, err)
	data, err := vfs.ReadFile(m, filepath.Join(testDir, Name(h.number)))
	must(t, err)
	return data
}

func TestFormatIsWrittenDown(t *testing.T) {
	got := goldenFile(t, fileHeader{number: 3, nonce: 0x1122334455667788}, Options{BlockSize: 144, Expires: goldenExpiry}, goldenItems())
	name := filepath.Join("testdata", "format.golden")
	if *update {
		must(t, os.WriteFile(name, []byte(hex.Dump(got)), 0o644))
	}
	dump, err := os.ReadFile(name)
	must(t, err)
	if hex.Dump(got) != string(dump) {
		t.Errorf("the format changed; old segments could not be read. Got\n%s", hex.Dump(got))
	}
	if kinds := kindsOf(t, got, 0x1122334455667788); kinds != "queue queue queue mixed shared directory" {
		t.Errorf("the blocks are %s", kinds)
	}
}

// kindsOf lists the blocks of a file.
func kindsOf(t *testing.T, data []byte, nonce uint64) string {
	t.Helper()
	var kinds []string
	for off := fileHeaderSize; off < len(data)-footerSize; {
		h, err := decodeBlockHeader(data[off:], nonce, int64(off))
		must(t, err)
		kinds = append(kinds, h.kind.String())
		off += int(h.size())
	}
	return strings.Join(kinds, " ")
}

// What a release has written every later one must read, however its compressor
// works by then. The file is never written anew.
func TestCompressedFilesOfOldAreRead(t *testing.T) {
	items := sample(42, 60)
	name := filepath.Join("testdata", "compressed-v1.seg")
	if _, err := os.Stat(name); *update && errors.Is(err, os.ErrNotExist) {
		must(t, os.WriteFile(name, goldenFile(t, fileHeader{number: 42, nonce: 42}, Options{BlockSize: 4096, Level: Better}, items), 0o644))
	}
	data, err := os.ReadFile(name)
	must(t, err)
	m := memFS(t)
	putFile(t, m, 42, data)
	r := Open(m, testDir, 42, nil)
	defer r.Close()
	same(t, scan(t, r), plain(items))
	info, err := r.Verify()
	must(t, err)
	if info.Raw <= info.Size {
		t.Errorf("nothing in it is compressed: %+v", info)
	}
}

// putFile makes a durable file of a segment.
func putFile(t testing.TB, m *vfs.Mem, number uint64, data []byte) {
	t.Helper()
	f, err := m.Create(filepath.Join(testDir, Name(number)))
	must(t, err)
	_, err = f.WriteAt(data, 0)
	must(t, err)
	must(t, f.Close())
	m.SyncAll()
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		name   string
		number uint64
		temp   bool
		ok     bool
	}{
		{"00000000000000000012.seg", 12, false, true},
		{"00000000000000000012.seg.tmp", 12, true, true},
		{"18446744073709551615.seg", 1<<64 - 1, false, true},
		{"18446744073709551616.seg", 0, false, false},
		{"0000000000000000012.seg", 0, false, false},
		{"000000000000000000012.seg", 0, false, false},
		{"+0000000000000000012.seg", 0, false, false},
		{"00000000000000000012.wal", 0, false, false},
		{"00000000000000000012", 0, false, false},
		{".seg", 0, false, false},
		{"", 0, false, false},
	} {
		number, temp, ok := ParseName(c.name)
		if number != c.number || ok != c.ok || temp && !c.temp {
			t.Errorf("%q: %d, %v, %v", c.name, number, temp, ok)
		}
		if c.ok && !c.temp && Name(number) != c.name || c.ok && c.temp && tempName(number) != c.name {
			t.Errorf("%q is not written so", c.name)
		}
	}
}

func TestNewerVersionsAreRefused(t *testing.T) {
	data := goldenFile(t, fileHeader{number: 3, nonce: 3}, Options{}, goldenItems())
	le.PutUint32(data[8:], 3)
	resum(data[:fileHeaderSize-4], data[fileHeaderSize-4:])
	foot := data[len(data)-footerSize:]
	le.PutUint32(foot[8:], 3)
	resum(foot[:footerSize-4], foot[footerSize-4:])
	m := memFS(t)
	putFile(t, m, 3, data)
	r := Open(m, testDir, 3, nil)
	defer r.Close()
	_, err := r.Info()
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) || !strings.Contains(err.Error(), "version 3") {
		t.Errorf("got %v", err)
	}
}

func TestCompressionIsOnlyUsedWhereItPays(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, c := range []struct {
		name string
		data string
		want codec
	}{
		{"text", text(rng, 10000), codecZstd},
		{"noise", noise(rng, 10000), codecRaw},
		{"noise with a little text", noise(rng, 10000) + text(rng, 500), codecRaw},
		{"a few bytes", "abc", codecRaw},
		{"nothing", "", codecRaw},
		{"zeros", string(make([]byte, 1<<20)), codecZstd},
	} {
		e := newEncoder(Fastest)
		stored, got := pack(e, []byte("before"), []byte(c.data))
		if string(stored[:6]) != "before" || got != c.want {
			t.Errorf("%s: codec %d", c.name, got)
		}
		out := make([]byte, len(c.data))
		must(t, unpack(out, stored[6:], got))
		if !bytes.Equal(out, []byte(c.data)) {
			t.Errorf("%s does not come back", c.name)
		}
		if !plausible(got, uint32(len(stored)-6), uint32(len(out))) {
			t.Errorf("%s: %d bytes from %d are not plausible", c.name, len(out), len(stored)-6)
		}
	}
}
