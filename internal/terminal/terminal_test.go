package terminal

import (
	"strings"
	"testing"
	"time"
)

func TestColumnsAreAlignedByWhatATerminalShows(t *testing.T) {
	var out strings.Builder
	table := NewTable(&out, Paint{}, "NAME", "N>", "LAST")
	table.Row("plain", "1", "x")
	table.Row("兎", "12,345", "")
	table.Row("e\u0301", "7") // é of two runes, one column wide
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "NAME        N  LAST\nplain       1  x\n兎     12,345\ne\u0301           7\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestStylesDoNotMoveColumns(t *testing.T) {
	var out strings.Builder
	table := NewTable(&out, Paint{On: true}, "A", "B")
	table.Row("x", "y")
	table.Style(0, Bad)
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	if want := "\x1b[1mA\x1b[0m  \x1b[1mB\x1b[0m\n\x1b[31mx\x1b[0m  y\n"; out.String() != want {
		t.Errorf("%q", out.String())
	}
}

func TestTextsAreCutToAWidth(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{{"leveret", 7, "leveret"}, {"leveret", 4, "lev…"}, {"兎兎兎", 4, "兎…"}, {"x", 0, ""}, {"兎", 1, "…"}} {
		if got := Fit(c.text, c.width); got != c.want || Width(got) > max(0, c.width) {
			t.Errorf("%q in %d is %q", c.text, c.width, got)
		}
	}
	if got := Pad("ab", 4, true) + Pad("ab", 4, false) + Pad("abcde", 4, true); got != "  abab  abc…" {
		t.Errorf("%q", got)
	}
}

func TestNamesCannotSteerTheTerminal(t *testing.T) {
	for text, want := range map[string]string{"q\x1b[2J": `q\x1b[2J`, "a\nb": `a\nb`, "Hase 兎": "Hase 兎", "\xff": `\xff`, "a\u202eb": `a\u202eb`, "�": "�"} {
		if got := Printable(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}

func TestTablesAndLinesCannotSteerTheTerminal(t *testing.T) {
	var out strings.Builder
	table := NewTable(&out, Paint{}, "NAME", "N>")
	table.Row("q\x1b[2J", "1")
	table.Row("x\ny", "2")
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	if want := "NAME      N\nq\\x1b[2J  1\nx\\ny      2\n"; out.String() != want {
		t.Errorf("%q", out.String())
	}
	if got := Lines("Error:\n\tno '\x1b]0;x\a'\n\n兎"); got != "Error:\n\tno '\\x1b]0;x\\a'\n\n兎" {
		t.Errorf("%q", got)
	}
}

func TestNumbersForPeople(t *testing.T) {
	for got, want := range map[string]string{
		Number(0): "0", Number(1000): "1,000", Number(-100): "-100", Bytes(0): "0 B", Bytes(1<<20 - 1): "1.0 MiB", Bytes(1536 << 20): "1.5 GiB",
		Bytes(1 << 60): "1024.0 PiB", Plural(0, "file"): "0 files", Percent(1, 3): "33.3",
		Number(1234567): "1,234,567", Number(-1234): "-1,234", Number(999): "999",
		Rate(0): "0/s", Rate(0.25): "0.2/s", Rate(9.96): "10/s", Rate(12345.6): "12,346/s",
		Bytes(1023): "1023 B", Bytes(1 << 20): "1.0 MiB",
		Duration(59 * time.Second): "59s", Duration(61 * time.Second): "1m01s", Duration(26 * time.Hour): "1d02h",
		Plural(1, "queue"): "1 queue", Plural(2000, "queue"): "2,000 queues",
		Ratio(30, 10): "3.00", Ratio(0, 10): "-", Percent(1, 8): "12.5", Percent(1, 0): "-",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestWordsAreAsFarApartAsLettersMustChange(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"queue", "queue", 0}, {"", "abc", 3}, {"abc", "", 3}, {"list_quues", "list_queues", 1}, {"kitten", "sitting", 3}} {
		if got := Distance(c.a, c.b); got != c.want {
			t.Errorf("%q and %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestAPasswordIsALineOfStandardInput(t *testing.T) {
	for text, want := range map[string]string{"secret\n": "secret", "with space \r\nmore\n": "with space ", "no end": "no end", "\n": ""} {
		var out strings.Builder
		got, err := Password(strings.NewReader(text), &out, "Password: ", true)
		if err != nil || got != want || out.String() != "" {
			t.Errorf("%q: %q, %v, printed %q", text, got, err, out.String())
		}
	}
	if _, err := Password(strings.NewReader(""), nil, "", false); err != ErrNoPassword {
		t.Errorf("%v", err)
	}
}
