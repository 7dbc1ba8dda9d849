package terminal

import (
	"bufio"
	"io"
	"strings"
)

// Table is aligned columns.
type Table struct {
	out   io.Writer
	paint Paint
	right []bool // columns that are aligned to the right
	rows  [][]cell
}

type cell struct {
	text  string
	style Style
}

// NewTable begins a table. Columns whose title ends in > are aligned to the right. The
// zero Paint has no colours.
func NewTable(out io.Writer, paint Paint, titles ...string) *Table {
	t := &Table{out: out, paint: paint}
	row := make([]cell, len(titles))
	for i, title := range titles {
		name, right := strings.CutSuffix(title, ">")
		t.right = append(t.right, right)
		row[i] = cell{name, Bold}
	}
	t.rows = append(t.rows, row)
	return t
}

// Row adds a row, of which nothing steers the terminal.
func (t *Table) Row(cells ...string) {
	row := make([]cell, len(t.right))
	for i, text := range cells {
		row[i].text = Printable(text)
	}
	t.rows = append(t.rows, row)
}

// Style gives a cell of the last row a style.
func (t *Table) Style(column int, s Style) {
	t.rows[len(t.rows)-1][column].style = s
}

// Len is how many rows there are below the titles.
func (t *Table) Len() int { return len(t.rows) - 1 }

// Flush writes the table.
func (t *Table) Flush() error {
	widths := make([]int, len(t.right))
	for _, row := range t.rows {
		for i, c := range row {
			widths[i] = max(widths[i], Width(c.text))
		}
	}
	out := bufio.NewWriter(t.out)
	var line, spaces strings.Builder
	for _, row := range t.rows {
		line.Reset()
		spaces.Reset() // those that nothing follows are not written
		for i, c := range row {
			if i > 0 {
				spaces.WriteString("  ")
			}
			pad := strings.Repeat(" ", widths[i]-Width(c.text))
			if t.right[i] {
				spaces.WriteString(pad)
			}
			if c.text != "" {
				line.WriteString(spaces.String())
				spaces.Reset()
				line.WriteString(t.paint.Text(c.style, c.text))
			}
			if !t.right[i] {
				spaces.WriteString(pad)
			}
		}
		line.WriteByte('\n')
		if _, err := out.WriteString(line.String()); err != nil {
			return err
		}
	}
	return out.Flush()
}
