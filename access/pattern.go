package access

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/leveret-mq/leveret/internal/expression"
)

// PatternError says that a regular expression cannot be used.
type PatternError struct {
	Pattern string
	Err     error
}

func (e *PatternError) Error() string {
	return fmt.Sprintf("invalid regular expression '%s': %v", e.Pattern, e.Err)
}

// Unwrap returns what the parser said.
func (e *PatternError) Unwrap() error { return e.Err }

// maxPattern bounds a pattern's length in bytes.
const maxPattern = 4096

// pattern is a compiled pattern. The zero value matches nothing.
type pattern struct {
	re    *regexp.Regexp
	all   bool // matches every name: the usual ".*", without a search
	empty bool // matches the empty name only
}

func compile(text string) (pattern, error) {
	switch text {
	case "":
		return pattern{empty: true}, nil
	case ".*", "^.*", "^.*$", ".*$":
		return pattern{all: true}, nil
	}
	if len(text) > maxPattern {
		return pattern{}, &PatternError{text[:64] + "…", fmt.Errorf("longer than %d bytes", maxPattern)}
	}
	re, err := expression.Compile(text)
	if err != nil {
		return pattern{}, &PatternError{text, err}
	}
	return pattern{re: re}, nil
}

func (p pattern) match(name string) bool {
	switch {
	case p.all:
		return true
	case p.re == nil:
		return p.empty && name == ""
	}
	return p.re.MatchString(name)
}

// Variables are what topic permissions may speak of.
type Variables struct {
	Username, VHost string
	ClientID        string // "" where the protocol has none
}

// expand puts the variables' values into a pattern, as literals.
func (v Variables) expand(text string) string {
	if !strings.Contains(text, "{") {
		return text
	}
	pairs := []string{"{username}", regexp.QuoteMeta(v.Username), "{vhost}", regexp.QuoteMeta(v.VHost)}
	if v.ClientID != "" {
		pairs = append(pairs, "{client_id}", regexp.QuoteMeta(v.ClientID))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
