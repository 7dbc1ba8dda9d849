package policy

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/leveret-mq/leveret/internal/expression"
)

// pattern is a regular expression that is looked for in a name. RabbitMQ's are
// Perl's, of which Go's regexp leaves out what cannot be matched in linear time.
// What policies use of that is what keeps names out, such as ^(?!amq\.).*, so
// assertions are understood where they can be split off: those that look ahead
// directly after the leading ^, those that look behind directly before the last $,
// and ^((?!x).)*$, "no x anywhere". Each then is an expression of its own.
type pattern struct {
	all  []*regexp.Regexp // each must be found
	none []*regexp.Regexp // none may be found
}

func (p *pattern) match(name string) bool {
	for _, re := range p.all {
		if !re.MatchString(name) {
			return false
		}
	}
	for _, re := range p.none {
		if re.MatchString(name) {
			return false
		}
	}
	return true
}

// maxPattern bounds a pattern's length in bytes.
const maxPattern = 4096

var errTooLarge = errors.New(`"regular expression is too large"`)

func compile(text string) (*pattern, error) {
	if len(text) > maxPattern {
		return nil, errTooLarge
	}
	re, err := expression.Compile(text)
	if err == nil {
		return &pattern{all: []*regexp.Regexp{re}}, nil
	}
	if errors.Is(err, expression.ErrTooLarge) {
		return nil, errTooLarge
	}
	if p := split(text); p != nil {
		return p, nil
	}
	return nil, explain(err)
}

// explain says what is wrong in RabbitMQ's words, where there are some.
func explain(err error) error {
	var e *syntax.Error
	if !errors.As(err, &e) {
		return err
	}
	why := map[syntax.ErrorCode]string{
		syntax.ErrMissingParen:          "missing )",
		syntax.ErrUnexpectedParen:       "unmatched parentheses",
		syntax.ErrMissingBracket:        "missing terminating ] for character class",
		syntax.ErrMissingRepeatArgument: "nothing to repeat",
		syntax.ErrInvalidCharRange:      "range out of order in character class",
		syntax.ErrTrailingBackslash:     `\ at end of pattern`,
		syntax.ErrInvalidRepeatSize:     "numbers out of order or too big in {} quantifier",
		syntax.ErrInvalidPerlOp:         "an assertion, or another construct, that is not supported here",
		syntax.ErrInvalidEscape:         "an escape that is not supported here",
	}[e.Code]
	if why == "" {
		why = e.Code.String()
	}
	return fmt.Errorf("%q", why)
}

// split takes the assertions off an expression that has them at its ends, or
// returns nil.
func split(text string) *pattern {
	rest, flags := text, ""
	if m := leadingFlags.FindString(rest); m != "" {
		rest, flags = rest[len(m):], m
	}
	if alternatives(rest) {
		return nil
	}
	p := &pattern{}
	add := func(list *[]*regexp.Regexp, expr string) bool {
		re, err := expression.Compile(flags + expr)
		if err == nil {
			*list = append(*list, re)
		}
		return err == nil
	}
	// No x anywhere.
	for _, open := range []string{"^((?!", "^(?:(?!"} {
		if inner, ok := strings.CutPrefix(rest, open); ok {
			if end := closing(inner); end >= 0 && (inner[end+1:] == ".)*$" || inner[end+1:] == ".)+$") {
				if strings.HasSuffix(inner, "+$") && !add(&p.all, ".") || !add(&p.none, inner[:end]) {
					return nil
				}
				return p
			}
		}
	}
	if after, ok := strings.CutPrefix(rest, "^"); ok {
		for {
			list := &p.all
			inner, ok := strings.CutPrefix(after, "(?=")
			if !ok {
				list = &p.none
				if inner, ok = strings.CutPrefix(after, "(?!"); !ok {
					break
				}
			}
			end := closing(inner)
			if end < 0 || !add(list, "^(?:"+inner[:end]+")") {
				return nil
			}
			after = inner[end+1:]
		}
		if quantified(after) {
			return nil
		}
		rest = "^" + after
	}
	if before, ok := strings.CutSuffix(rest, "$"); ok {
		for _, open := range []string{"(?<=", "(?<!"} {
			at := strings.LastIndex(before, open)
			if at < 0 || closing(before[at+len(open):]) != len(before)-at-len(open)-1 {
				continue
			}
			list := &p.none
			if open == "(?<=" {
				list = &p.all
			}
			if !add(list, "(?:"+before[at+len(open):len(before)-1]+")$") {
				return nil
			}
			rest = before[:at] + "$"
			break
		}
	}
	if !add(&p.all, rest) {
		return nil
	}
	return p
}

var leadingFlags = regexp.MustCompile(`^\(\?[ims]+\)`)

// quantified reports whether an expression begins with what repeats the one before.
func quantified(expr string) bool { return expr != "" && strings.Contains("*+?{", expr[:1]) }

// closing finds the parenthesis that ends a group whose inside begins expr; -1:
// there is none.
func closing(expr string) int {
	return scan(expr, func(c byte, depth int) bool { return c == ')' && depth < 0 })
}

// alternatives reports whether an expression has a | that is in no group.
func alternatives(expr string) bool {
	return scan(expr, func(c byte, depth int) bool { return c == '|' && depth == 0 }) >= 0
}

// scan finds the first byte outside of classes, escapes and quotes for which found
// holds. depth is how many groups are open after that byte.
func scan(expr string, found func(c byte, depth int) bool) int {
	depth := 0
	for i := 0; i < len(expr); i++ {
		switch expr[i] {
		case '\\':
			i++
			if i < len(expr) && expr[i] == 'Q' {
				end := strings.Index(expr[i:], `\E`)
				if end < 0 {
					return -1
				}
				i += end + 1
			}
			continue
		case '[':
			if i = class(expr, i); i < 0 {
				return -1
			}
			continue
		case '(':
			depth++
		case ')':
			depth--
		}
		if found(expr[i], depth) {
			return i
		}
	}
	return -1
}

// class returns where the class that begins at i ends; -1: it does not.
func class(expr string, i int) int {
	first := i + 1
	if first < len(expr) && expr[first] == '^' {
		first++
	}
	for j := first; j < len(expr); j++ {
		switch {
		case expr[j] == '\\':
			j++
		case strings.HasPrefix(expr[j:], "[:"):
			if end := strings.Index(expr[j:], ":]"); end > 0 {
				j += end + 1
			}
		case expr[j] == ']' && j > first:
			return j
		}
	}
	return -1
}
