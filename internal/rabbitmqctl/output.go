package rabbitmqctl

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/leveret-mq/leveret/internal/terminal"
)

// formatters are those that --formatter knows.
var formatters = []string{"table", "json", "csv", "pretty_table"}

// rows writes a list. Where there are none, lists that RabbitMQ writes as it makes them
// (streamed) are nothing at all, and others an empty line.
func (c *call) rows(streamed bool, columns []string, rows [][]any) error {
	out := bufio.NewWriter(c.Out)
	switch c.formatter {
	case "json":
		c.jsonRows(out, streamed, columns, rows)
	case "csv":
		c.csvRows(out, columns, rows)
	case "pretty_table":
		prettyRows(out, columns, rows)
	default:
		c.tableRows(out, streamed, columns, rows)
	}
	return out.Flush()
}

func (c *call) tableRows(out *bufio.Writer, streamed bool, columns []string, rows [][]any) {
	if len(rows) == 0 {
		if !streamed {
			fmt.Fprintln(out)
		}
		return
	}
	if c.headers() {
		fmt.Fprintln(out, strings.Join(columns, "\t"))
	}
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = text(v)
		}
		fmt.Fprintln(out, strings.Join(cells, "\t"))
	}
}

// headers tells whether lists begin with the names of their columns.
func (c *call) headers() bool { return !c.set["silent"] && !c.set["no-table-headers"] }

func (c *call) jsonRows(out *bufio.Writer, streamed bool, columns []string, rows [][]any) {
	if len(rows) == 0 && !streamed {
		fmt.Fprintln(out, "[]")
		return
	}
	fmt.Fprintln(out, "[")
	for i, row := range rows {
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteByte('{')
		for j, v := range row { // in the columns' order, which a map has not
			if j > 0 {
				out.WriteByte(',')
			}
			fmt.Fprintf(out, "%s:%s", compact(columns[j]), compact(plain(v)))
		}
		out.WriteString("}\n")
	}
	fmt.Fprintln(out, "]")
}

func (c *call) csvRows(out *bufio.Writer, columns []string, rows [][]any) {
	if len(rows) == 0 {
		return
	}
	line := func(cells []any) {
		parts := make([]string, len(cells))
		for i, v := range cells {
			parts[i] = `"` + strings.ReplaceAll(text(v), `"`, `""`) + `"`
		}
		fmt.Fprintln(out, strings.Join(parts, ","))
	}
	if c.headers() {
		names := make([]any, len(columns))
		for i, name := range columns {
			names[i] = name
		}
		line(names)
	}
	for _, row := range rows {
		line(row)
	}
}

// prettyRows draws a box with the line characters that terminals have had for ever.
func prettyRows(out *bufio.Writer, columns []string, rows [][]any) {
	if len(rows) == 0 {
		return
	}
	widths := make([]int, len(columns))
	cells := make([][]string, len(rows))
	for i, name := range columns {
		widths[i] = terminal.Width(name)
	}
	for r, row := range rows {
		cells[r] = make([]string, len(row))
		for i, v := range row {
			cells[r][i] = text(v)
			widths[i] = max(widths[i], terminal.Width(cells[r][i]))
		}
	}
	rule := func(left, between, right string) {
		out.WriteString("\x1b(0" + left)
		for i, w := range widths {
			if i > 0 {
				out.WriteString(between)
			}
			out.WriteString(strings.Repeat("q", w+2))
		}
		out.WriteString(right + "\x1b(B\n")
	}
	const bar = "\x1b(0x\x1b(B"
	line := func(cells []string, begin, end string) {
		for i, cell := range cells {
			out.WriteString(bar + " " + begin + cell + end + strings.Repeat(" ", widths[i]-terminal.Width(cell)+1))
		}
		out.WriteString(bar + "\n")
	}
	rule("l", "w", "k")
	line(columns, "\x1b[1m", "\x1b[0m")
	for _, row := range cells {
		rule("t", "n", "u")
		line(row, "", "")
	}
	rule("m", "v", "j")
}
