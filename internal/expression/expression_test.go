package expression

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

func TestExpressionsAreBounded(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("(.?){1000}", 100), "(((.?){10}){10}){10}x{999}y{999}z{999}", strings.Repeat(`\pL{900}`, 10),
	} {
		if _, err := Compile(text); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%.20s…: %v", text, err)
		}
	}
	for _, text := range []string{"", ".*", `^(eu|us)\.[a-z]{1,255}$`, "(?i)((.?){30}){30}", `^amq\.|^[^.]+$`} {
		if re, err := Compile(text); err != nil || re.String() != text {
			t.Errorf("%s: %v", text, err)
		}
	}
	wrong := "a" + strings.ReplaceAll("{N}", "N", "1001")
	_, want := regexp.Compile(wrong)
	if _, err := Compile(wrong); err == nil || err.Error() != want.Error() {
		t.Errorf("%v, want %v", err, want)
	}
}
