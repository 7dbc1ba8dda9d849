package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// fileName is the library's name of the file whose first entry has that index.
func fileName(index uint64) string { return fmt.Sprintf("%020d", index) }

// maxAside is how many files of damaged bytes are kept.
const maxAside = 16

// damage is what repair has set aside.
type damage struct {
	name  string // of the file that has it now
	size  int
	cause string
}

// repair makes a log that the library opens, and lists its files by their first
// index.
func repair(dir string, log *slog.Logger) (starts []uint64, aside *damage, err error) {
	names, err := vfs.OS().ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	var old []string
	for _, name := range names {
		switch index, isFile := indexOf(name); {
		case isFile:
			starts = append(starts, index)
		case strings.Contains(name, ".damaged-"):
			old = append(old, name)
		}
	}
	if len(starts) == 0 {
		return nil, nil, nil
	}
	slices.Sort(starts)
	last := starts[len(starts)-1]
	path := filepath.Join(dir, fileName(last))
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	good, cause := goodLines(text, last, nil)
	if good == len(text) {
		return starts, nil, nil
	}
	aside = &damage{size: len(text) - good, cause: cause}
	if aside.name, err = setAside(dir, fileName(last), text[good:]); err != nil {
		return nil, nil, err
	}
	if err := cut(path, int64(good)); err != nil {
		return nil, nil, err
	}
	log.Warn("the audit log ends in what is no entry, as after a power cut; that is set aside",
		"file", path, "offset", good, "bytes", aside.size, "aside", aside.name, "cause", cause)
	if more := len(old) + 1 - maxAside; more > 0 {
		slices.Sort(old)
		for _, name := range old[:more] {
			_ = os.Remove(filepath.Join(dir, name)) // the next repair tries again
		}
	}
	return starts, aside, nil
}

// indexOf is the first index of the file of that name, if it is one of the log's.
func indexOf(name string) (uint64, bool) {
	if len(name) != len(fileName(0)) {
		return 0, false
	}
	index, err := strconv.ParseUint(name, 10, 64)
	return index, err == nil && index > 0
}

// goodLines is the length of the entries that a file begins with, and why the rest is
// none. It calls each, unless that is nil, with every one of them.
func goodLines(text []byte, first uint64, each func(data string)) (n int, cause string) {
	for index := first; n < len(text); index++ {
		end := bytes.IndexByte(text[n:], '\n')
		if end < 0 {
			return n, "a line without an end"
		}
		var line struct{ Index, Data string }
		if err := json.Unmarshal(text[n:n+end], &line); err != nil {
			return n, err.Error()
		}
		if line.Index != strconv.FormatUint(index, 10) {
			return n, fmt.Sprintf("entry %q where %d is due", line.Index, index)
		}
		data, ok := strings.CutPrefix(line.Data, "+")
		if !ok || !json.Valid([]byte(data)) {
			return n, "a line without an event"
		}
		n += end + 1
		if each != nil {
			each(data)
		}
	}
	return n, ""
}

// setAside writes bytes to a new file, durably.
func setAside(dir, of string, text []byte) (name string, err error) {
	for i := 1; ; i++ {
		name = fmt.Sprintf("%s.damaged-%d", of, i)
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		_, err = f.Write(text)
		if err == nil {
			err = f.Sync()
		}
		if err = errors.Join(err, f.Close()); err == nil {
			err = vfs.OS().SyncDir(dir)
		}
		return name, err
	}
}

// cut shortens a file, durably.
func cut(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if err = f.Truncate(size); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
