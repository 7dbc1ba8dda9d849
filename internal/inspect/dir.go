package inspect

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
)

// Names in a data directory. package store's comment has the list.
const (
	walFolder     = "wal"
	segmentFolder = "segments"
	largeFolder   = "large"
	spillFolder   = "spill"
	lockFile      = "LOCK"
	markerFile    = "FAILED"
	reserveFile   = "RESERVE" // room for a start on a full disk
	auditFolder   = "audit"   // package audit looks at it
	tempSuffix    = ".tmp"
)

// ErrNoData is what errors are for a directory that is not there, or holds
// nothing of Leveret's.
var ErrNoData = errors.New("no Leveret data here")

// Options of a look.
type Options struct {
	// FS is where the directory is. Default: the operating system's.
	FS vfs.FS
	// Progress, if set, is told now and then how far the work is. total is 0
	// where it is not known.
	Progress func(what string, done, total int64)
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	return o
}

// Problem is one thing that is wrong with a data directory.
type Problem struct {
	// File has the directory; it is empty where no file is to blame.
	File string `json:"file,omitempty"`
	// Offset is in bytes from the file's beginning, -1 where it cannot be told.
	Offset int64 `json:"offset"`
	// Cause says what is wrong, and what it concerns.
	Cause string `json:"cause"`
	// Fatal: a broker refuses to start from the directory.
	Fatal bool `json:"fatal"`
}

func (p Problem) String() string {
	switch {
	case p.File == "":
		return p.Cause
	case p.Offset < 0:
		return p.File + ": " + p.Cause
	}
	return fmt.Sprintf("%s at offset %d: %s", p.File, p.Offset, p.Cause)
}

func problem(file string, fatal bool, format string, args ...any) Problem {
	return Problem{File: file, Offset: -1, Cause: fmt.Sprintf(format, args...), Fatal: fatal}
}

// files is what a data directory holds.
type files struct {
	checkpoints []snapshotFile // by number
	catalogs    []snapshotFile
	segments    []segmentFile
	large       []uint64
	logs        []string // names in the log's directory
	logSize     int64    // of the last of them
	temps       []string // with their folder
	failed      bool     // the marker is there
	spilled     int64    // bytes of transient messages that a broker moved to disk
	others      []string
}

type snapshotFile struct {
	number uint64
	name   string // with the directory
	size   int64
}

// list reads the directory.
func list(fsys vfs.FS, dir string) (*files, error) {
	names, err := fsys.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: there is no such directory", dir, ErrNoData)
	}
	if err != nil {
		return nil, fmt.Errorf("read directory %s: %w", dir, err)
	}
	l := &files{}
	known := false
	for _, name := range names {
		path := filepath.Join(dir, name)
		prefix, number, ok := index.ParseSnapshotName(strings.TrimSuffix(name, tempSuffix))
		switch {
		case ok && strings.HasSuffix(name, tempSuffix):
			l.temps = append(l.temps, path)
		case ok:
			size, err := sizeOf(fsys, path)
			if errors.Is(err, fs.ErrNotExist) {
				continue // a broker removed it this moment
			}
			if err != nil {
				return nil, err
			}
			f := snapshotFile{number, path, size}
			if prefix == index.CheckpointPrefix {
				l.checkpoints = append(l.checkpoints, f)
			} else {
				l.catalogs = append(l.catalogs, f)
			}
		case name == markerFile:
			l.failed = true
		case name == walFolder:
			if err := l.listLogs(fsys, path); err != nil {
				return nil, err
			}
		case name == lockFile:
		case name == reserveFile, name == reserveFile+tempSuffix, name == auditFolder:
			continue
		case name == segmentFolder:
			if err := l.listSegments(fsys, path); err != nil {
				return nil, err
			}
			continue
		case name == largeFolder:
			if err := l.listLarge(fsys, path); err != nil {
				return nil, err
			}
			continue
		case name == spillFolder:
			if err := l.listSpilled(fsys, path); err != nil {
				return nil, err
			}
			continue
		default:
			l.others = append(l.others, path)
			continue
		}
		known = true
	}
	if !known {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoData)
	}
	return l, nil
}

func (l *files) listLogs(fsys vfs.FS, dir string) (err error) {
	if l.logs, err = fsys.ReadDir(dir); err != nil {
		return fmt.Errorf("read directory %s: %w", dir, err)
	}
	if len(l.logs) > 0 {
		l.logSize, err = sizeOf(fsys, filepath.Join(dir, l.logs[len(l.logs)-1]))
	}
	return err
}

func (l *files) listSpilled(fsys vfs.FS, dir string) error {
	names, err := fsys.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read directory %s: %w", dir, err)
	}
	for _, name := range names {
		size, err := sizeOf(fsys, filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		l.spilled += size
	}
	return nil
}

func sizeOf(fsys vfs.FS, name string) (int64, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return 0, fmt.Errorf("size of %s: %w", name, err)
	}
	return size, nil
}

// find returns the file of that number, or nil.
func find(list []snapshotFile, number uint64) *snapshotFile {
	i := slices.IndexFunc(list, func(f snapshotFile) bool { return f.number == number })
	if i < 0 {
		return nil
	}
	return &list[i]
}

// badSnapshot is what is wrong with a snapshot file's content.
type badSnapshot struct {
	file  string
	cause error
}

func (e *badSnapshot) Error() string { return fmt.Sprintf("%s: %v", e.file, e.cause) }
func (e *badSnapshot) Unwrap() error { return e.cause }

// readSnapshot reads a snapshot file block by block. What is wrong with its
// content is a *badSnapshot.
func readSnapshot(fsys vfs.FS, sf *snapshotFile, head func(index.Header), block func(kind byte, p []byte) error) error {
	f, err := fsys.Open(sf.name)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("size of %s: %w", sf.name, err)
	}
	r, err := index.NewReader(f, size)
	if errors.Is(err, index.ErrVersion) {
		return fmt.Errorf("%s: %w", sf.name, err)
	}
	if err == nil && r.Header.Number != sf.number {
		err = fmt.Errorf("it says that it is number %d", r.Header.Number)
	}
	if err != nil {
		return &badSnapshot{sf.name, err}
	}
	head(r.Header)
	for {
		kind, p, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = block(kind, p)
		}
		if err != nil {
			return &badSnapshot{sf.name, err}
		}
	}
}

// view opens the log. A directory without one is an empty log.
func view(fsys vfs.FS, dir string) (*wal.View, error) {
	path := filepath.Join(dir, walFolder)
	v, err := wal.OpenView(fsys, path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, derr := fsys.ReadDir(path); errors.Is(derr, fs.ErrNotExist) {
			return nil, nil
		}
	}
	return v, err
}
