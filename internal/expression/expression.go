// Package expression compiles regular expressions that users have written, within
// bounds. Matching takes time in proportion to the name and to the machine that the
// expression asks for, and a few bytes, such as (.?){1000} some times over, ask for one of
// a million steps, which each of a hundred thousand names would have to go through.
package expression

import (
	"errors"
	"regexp"
	"regexp/syntax"
)

// maxSteps bounds the machine. Expressions that people write have some hundred at most.
const maxSteps = 4000

// ErrTooLarge is that of an expression over the bound.
var ErrTooLarge = errors.New("the regular expression is too large")

// Compile is regexp.Compile within bounds.
func Compile(text string) (*regexp.Regexp, error) {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, err
	}
	if len(program.Inst) > maxSteps {
		return nil, ErrTooLarge
	}
	return regexp.Compile(text)
}
