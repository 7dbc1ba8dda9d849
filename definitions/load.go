package definitions

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Load imports the definitions in a file, or in all files *.json of a folder, in the
// order of their names. Each file is a whole broker's, checked before it changes
// anything; those after one with a mistake are not looked at.
func Load(b Broker, path string) (Report, error) {
	var r Report
	files, err := filesAt(path)
	if err != nil {
		return r, fmt.Errorf("definitions: %w", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return r, fmt.Errorf("definitions: %w", err)
		}
		d, err := Parse(text, "")
		if err != nil {
			return r, fmt.Errorf("definitions in %s: %w", file, explain(text, err))
		}
		one, err := d.Import(b)
		r.Warnings = append(r.Warnings, one.Warnings...)
		if err != nil {
			return r, fmt.Errorf("definitions in %s: %w", file, err)
		}
	}
	return r, nil
}

// Check tells what of the files of Load cannot be read, or says nothing that can be
// imported. What a broker would have to say of it is not known.
func Check(path string) error {
	files, err := filesAt(path)
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if _, err := Parse(text, ""); err != nil {
			return fmt.Errorf("%s: %w", file, explain(text, err))
		}
	}
	return nil
}

// explain says where a text stops being JSON, and what a file is that has no vhosts.
func explain(text []byte, err error) error {
	if strings.Contains(err.Error(), "{key_missing,vhost}") {
		return fmt.Errorf("%w: these are the definitions of one vhost; start without them and import them into it: leveret definitions import -p VHOST", err)
	}
	if !errors.Is(err, ErrJSON) {
		return err
	}
	var syntax *json.SyntaxError
	if !errors.As(json.Unmarshal(text, new(any)), &syntax) {
		return fmt.Errorf("%w: not an object with users, vhosts, queues and so on", err)
	}
	line := 1 + bytes.Count(text[:min(int(syntax.Offset), len(text))], []byte("\n"))
	return fmt.Errorf("%w: line %d: %w", err, line, syntax)
}

func filesAt(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".json") && !e.IsDir() {
			files = append(files, filepath.Join(path, e.Name()))
		}
	}
	slices.Sort(files)
	return files, nil
}
