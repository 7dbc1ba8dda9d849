package amqp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestErrorsHaveRabbitMQsNamesAndScope(t *testing.T) {
	for _, c := range []struct {
		err  *Error
		code uint16
		name string
		hard bool
	}{
		{ContentTooLarge("x"), 311, "CONTENT_TOO_LARGE", false},
		{NewError(CodeNoRoute, "x"), 312, "NO_ROUTE", false},
		{NewError(CodeNoConsumers, "x"), 313, "NO_CONSUMERS", false},
		{ConnectionForced("x"), 320, "CONNECTION_FORCED", true},
		{InvalidPath("x"), 402, "INVALID_PATH", true},
		{AccessRefused("x"), 403, "ACCESS_REFUSED", false},
		{NotFound("x"), 404, "NOT_FOUND", false},
		{ResourceLocked("x"), 405, "RESOURCE_LOCKED", false},
		{PreconditionFailed("x"), 406, "PRECONDITION_FAILED", false},
		{FrameError("x"), 501, "FRAME_ERROR", true},
		{SyntaxError("x"), 502, "SYNTAX_ERROR", true},
		{CommandInvalid("x"), 503, "COMMAND_INVALID", true},
		{ChannelError("x"), 504, "CHANNEL_ERROR", true},
		{UnexpectedFrame("x"), 505, "UNEXPECTED_FRAME", true},
		{ResourceError("x"), 506, "RESOURCE_ERROR", true},
		{NotAllowed("x"), 530, "NOT_ALLOWED", true},
		{NotImplemented("x"), 540, "NOT_IMPLEMENTED", true},
		{InternalError("x"), 541, "INTERNAL_ERROR", true},
		{NewError(999, "x"), 999, "CODE_999", true},
	} {
		if c.err.Code != c.code || c.err.Error() != c.name+" - x" || c.err.Hard() != c.hard {
			t.Errorf("%d: %s, hard %t", c.err.Code, c.err, c.err.Hard())
		}
	}
}

func TestErrorText(t *testing.T) {
	if got := NotFound("no queue '%s' in vhost '%s'", "q", "/").Error(); got != "NOT_FOUND - no queue 'q' in vhost '/'" {
		t.Error(got)
	}
	if got := NotFound("%s", "100%").Error(); got != "NOT_FOUND - 100%" {
		t.Error(got)
	}
	if got := NewError(CodeNoRoute, "").ReplyText(); got != "NO_ROUTE" {
		t.Error(got)
	}
}

func TestReplyTextFitsAShortString(t *testing.T) {
	for shift := range 4 {
		e := NotFound("%s%s", strings.Repeat("x", shift), strings.Repeat("€", 200))
		s := e.ReplyText()
		if len(s) > 255 || len(s) < 250 || !utf8.ValidString(s) || !strings.HasSuffix(s, "...") {
			t.Errorf("%d bytes: %s", len(s), s)
		}
	}
	if s := NotFound("%s", strings.Repeat("\x80", 400)).ReplyText(); len(s) > 255 {
		t.Errorf("%d bytes", len(s))
	}
	if s := NotFound("%s", strings.Repeat("x", 255-len("NOT_FOUND - "))).ReplyText(); strings.HasSuffix(s, "...") || len(s) != 255 {
		t.Errorf("%d bytes: %s", len(s), s)
	}
}

func TestAsError(t *testing.T) {
	e := NotFound("x")
	if AsError(fmt.Errorf("declaring: %w", e)) != e {
		t.Error("the exception in the chain is lost")
	}
	if got := AsError(errors.New("disk 50% full")); got.Code != CodeInternalError || got.Text != "disk 50% full" {
		t.Error(got)
	}
	if AsError(nil) != nil {
		t.Error("nil is an error")
	}
}
