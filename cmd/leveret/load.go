package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/leveret-mq/leveret/internal/terminal"
)

// optionError is what is wrong with an option's value, without the option's name.
type optionError struct {
	option, text string
}

func (e *optionError) Error() string { return "--" + e.option + " " + e.text }

func badOption(option, format string, args ...any) error {
	return &optionError{option, fmt.Sprintf(format, args...)}
}

// origins are the places from which options have their values, as an error names them;
// a flag's is not among them.
type origins map[string]string

// name puts the place before what is wrong with an option's value.
func (o origins) name(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, each := range joined.Unwrap() {
			all = append(all, o.name(each))
		}
		return errors.Join(all...)
	}
	var bad *optionError
	if errors.As(err, &bad) && o[bad.option] != "" {
		return errors.New(o[bad.option] + " " + bad.text)
	}
	return err
}

// load resolves flags over environment over file over defaults. Every error it
// returns is a usageError, which names all that is wrong.
func load(cmd *cobra.Command, file string) (Config, error) {
	cfg := defaultConfig()
	fs := cfg.flags()
	from := origins{}
	if file == "" {
		file = os.Getenv("LEVERET_CONFIG")
	}
	var failed error
	if file != "" {
		failed = readFile(fs, file, from)
	}
	fs.VisitAll(func(f *pflag.Flag) {
		name := "LEVERET_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v, ok := os.LookupEnv(name); ok {
			if err := f.Value.Set(v); err != nil {
				failed = errors.Join(failed, fmt.Errorf("environment variable %s: %w", name, err))
			}
			from[f.Name] = "environment variable " + name
		}
		if given := cmd.Flags().Lookup(f.Name); given != nil && given.Changed {
			if err := f.Value.Set(given.Value.String()); err != nil {
				failed = errors.Join(failed, fmt.Errorf("flag --%s: %w", f.Name, err))
			}
			delete(from, f.Name)
		}
	})
	if failed = errors.Join(failed, from.name(cfg.Validate())); failed != nil {
		return cfg, usageError{failed}
	}
	return cfg, nil
}

// flags are those of c, in the order in which they are declared.
func (c *Config) flags() *pflag.FlagSet {
	fs := pflag.NewFlagSet("config", pflag.ContinueOnError)
	fs.SortFlags = false
	c.bind(fs)
	return fs
}

// readFile gives flags the values that a TOML file has for them, and notes where they
// stand. Its error has all that is wrong, with lines.
func readFile(fs *pflag.FlagSet, name string, from origins) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	values := map[string]any{}
	if err := toml.Unmarshal(text, &values); err != nil {
		var at *toml.DecodeError
		if errors.As(err, &at) {
			row, col := at.Position()
			return fmt.Errorf("configuration %s, line %d, column %d: %s", name, row, col, strings.TrimPrefix(at.Error(), "toml: "))
		}
		return fmt.Errorf("configuration %s: %w", name, err)
	}
	var failed error
	for _, k := range keysOf(text) {
		place := fmt.Sprintf("configuration %s, line %d:", name, k.line)
		f := fs.Lookup(k.name)
		if f == nil || k.table {
			failed = errors.Join(failed, fmt.Errorf("%s unknown key %q%s", place, k.name, suggest(fs, k.name)))
			continue
		}
		from[k.name] = place + " " + k.name
		value, err := flagText(f, values[k.name])
		if err == nil {
			err = f.Value.Set(value)
		}
		if err != nil {
			shown := values[k.name]
			if strings.HasSuffix(k.name, "-pass") { // whoever sees this need not be who may know it
				shown = "…"
			}
			failed = errors.Join(failed, fmt.Errorf("%s %s = %v: %w", place, k.name, shown, err))
		}
	}
	return failed
}

// key is one that stands in a file, or the name of a table.
type key struct {
	name  string
	line  int
	table bool
}

// keysOf lists the keys of a TOML text that is in order, and the names of its tables,
// which nothing of ours has.
func keysOf(text []byte) (keys []key) {
	var p unstable.Parser
	p.Reset(text)
	inTable := false
	for p.NextExpression() {
		e := p.Expression()
		if e.Kind != unstable.KeyValue && e.Kind != unstable.Table && e.Kind != unstable.ArrayTable || e.Kind == unstable.KeyValue && inTable {
			continue
		}
		k := key{table: e.Kind != unstable.KeyValue}
		inTable = inTable || k.table
		var parts []string
		for it := e.Key(); it.Next(); {
			if k.line == 0 {
				k.line = p.Shape(it.Node().Raw).Start.Line
			}
			parts = append(parts, string(it.Node().Data))
		}
		k.name = strings.Join(parts, ".")
		k.table = k.table || len(parts) > 1
		keys = append(keys, k)
	}
	return keys
}

// flagText is a value of a file as a flag takes it, if it is of the flag's kind.
func flagText(f *pflag.Flag, v any) (string, error) {
	_, isText := v.(string)
	_, isNumber := v.(int64)
	switch kind := f.Value.Type(); {
	case kind == "duration" && !isText:
		return "", fmt.Errorf("it has no unit: write \"%v\" with one, as in \"10s\"", v)
	case kind == "size" && !isText && !isNumber:
		return "", errors.New("want a number of bytes, or a text such as \"64MiB\"")
	case kind == "string" && !isText:
		return "", errors.New("want a text in quotation marks")
	case slices.Contains([]string{"int", "int64", "uint16"}, kind) && !isNumber:
		return "", errors.New("want a whole number")
	case kind == "bool":
		if _, ok := v.(bool); !ok {
			return "", errors.New("want true or false")
		}
	}
	return fmt.Sprint(v), nil
}

// suggest tells which key may have been meant.
func suggest(fs *pflag.FlagSet, name string) string {
	best, least := "", len(name)/3+1
	fs.VisitAll(func(f *pflag.Flag) {
		if d := terminal.Distance(strings.ToLower(name), f.Name); !f.Hidden && d <= least {
			best, least = f.Name, d-1
		}
	})
	if best != "" {
		return fmt.Sprintf("; is %q meant?", best)
	}
	return "; `leveret config example` shows those that there are"
}
