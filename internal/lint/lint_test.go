package lint

import (
	"bufio"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/leveret-mq/leveret/"

// layers is the order of DESIGN.md, Layers: a package imports only packages
// that stand above it. One row is one layer, whose packages do not import each
// other either.
var layers = [][]string{
	{"internal/vfs", "internal/amqp", "internal/limit", "internal/expression", "internal/ram", "internal/identity", "internal/certs", "internal/tlsio", "internal/terminal", "internal/mgmt", "internal/process"},
	{"wal", "segment", "index", "internal/record", "internal/catalog", "internal/jsontable", "access", "internal/arena", "internal/large"},
	{"store"},
	{"internal/inspect"},
	{"broker/routing", "broker/policy", "broker/death", "broker/stats", "audit"},
	{"broker"},
	{"definitions"},
	{"amqpd/wire", "monitor"},
	{"amqpd"},
	{"httpd/page"},
	{"httpd", "exporter"},
	{"internal/ctl", "internal/rabbitmqctl"},
	{"bench"},
	{"bench/machine", "bench/cli", "internal/peer"},
	{"bench/figures", "bench/peers"},
	{"conformance"},
	{"conformance/cmd/conformance"},
	{"cmd/leveret", "bench/cmd/storebench", "bench/cmd/pgo", "bench/cmd/peersbench"},
}

// testOnly packages are imported by tests alone, so they may import anything.
var testOnly = []string{"internal/lint", "internal/cost", "internal/certs/certtest", "internal/e2e", "internal/e2e/child", "internal/e2e/ledger", "internal/e2e/clients", "internal/e2e/page", "internal/brokertest"}

// maxLines is where a file is asked whether two topics live in it.
const maxLines = 800

func TestImportsPointUpwards(t *testing.T) {
	rank := map[string]int{}
	for i, row := range layers {
		for _, p := range row {
			rank[p] = i
		}
	}
	for dir, files := range packages(t) {
		if slices.Contains(testOnly, dir) {
			continue
		}
		mine, known := rank[dir]
		if !known {
			t.Errorf("package %s stands in no layer: add it to DESIGN.md and to this test", dir)
			continue
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, imp := range imports(t, file) {
				theirs, ours := rank[imp]
				switch {
				case slices.Contains(testOnly, imp):
					t.Errorf("%s imports %s, which is for tests alone", file, imp)
				case !ours:
					t.Errorf("%s imports %s, which stands in no layer", file, imp)
				case theirs >= mine:
					t.Errorf("%s: %s may not import %s (layer %d imports layer %d)", file, dir, imp, mine, theirs)
				}
			}
		}
	}
}

func TestEachPackageSaysWhatItIs(t *testing.T) {
	for dir, files := range packages(t) {
		ok := slices.ContainsFunc(files, func(f string) bool {
			if strings.HasSuffix(f, "_test.go") {
				return false
			}
			src, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.PackageClauseOnly|parser.ParseComments)
			return err == nil && src.Doc != nil
		})
		if !ok {
			t.Errorf("package %s has no package comment", dir)
		}
	}
}

func TestFilesKeepToOneTopic(t *testing.T) {
	for _, files := range packages(t) {
		for _, file := range files {
			if n := lines(t, file); n > maxLines {
				t.Errorf("%s has %d lines, more than %d: look for its second purpose", file, n, maxLines)
			}
		}
	}
}

// packages maps each folder with Go files, relative to the module, to its files.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	root := filepath.Join("..", "..")
	found := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" || name == "data" || name == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(path, ".go") {
			dir, err := filepath.Rel(root, filepath.Dir(path))
			if err != nil {
				return err
			}
			found[filepath.ToSlash(dir)] = append(found[filepath.ToSlash(dir)], path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 2 {
		t.Fatalf("found %d packages below %s: the walk is wrong", len(found), root)
	}
	return found
}

// imports lists the module's own packages that a file imports.
func imports(t *testing.T, file string) []string {
	t.Helper()
	src, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var own []string
	for _, spec := range src.Imports {
		if p, ok := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module); ok {
			own = append(own, p)
		}
	}
	return own
}

func lines(t *testing.T, file string) int {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		n++
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}

// DESIGN.md's table of layers is where a reader finds each package.
func TestEachPackageStandsInTheDesign(t *testing.T) {
	design, err := os.ReadFile("../../DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range layers {
		for _, p := range row {
			if strings.Contains(p, "cmd/") {
				continue
			}
			link := p
			if !strings.Contains(p, "/") {
				link = "[" + p + "](" // else it is any word
			}
			if !strings.Contains(string(design), link) {
				t.Errorf("DESIGN.md does not name package %s", p)
			}
		}
	}
}
