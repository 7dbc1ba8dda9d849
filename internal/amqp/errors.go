package amqp

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// Reply codes of AMQP 0-9-1, section 1.3 of its definition.
const (
	CodeSuccess            = 200
	CodeContentTooLarge    = 311
	CodeNoRoute            = 312
	CodeNoConsumers        = 313
	CodeConnectionForced   = 320
	CodeInvalidPath        = 402
	CodeAccessRefused      = 403
	CodeNotFound           = 404
	CodeResourceLocked     = 405
	CodePreconditionFailed = 406
	CodeFrameError         = 501
	CodeSyntaxError        = 502
	CodeCommandInvalid     = 503
	CodeChannelError       = 504
	CodeUnexpectedFrame    = 505
	CodeResourceError      = 506
	CodeNotAllowed         = 530
	CodeNotImplemented     = 540
	CodeInternalError      = 541
)

// CodeName returns the name of a reply code as RabbitMQ writes it in reply
// texts, such as NOT_FOUND, and the empty string for a code that AMQP lacks.
func CodeName(code uint16) string {
	switch code {
	case CodeSuccess:
		return "SUCCESS"
	case CodeContentTooLarge:
		return "CONTENT_TOO_LARGE"
	case CodeNoRoute:
		return "NO_ROUTE"
	case CodeNoConsumers:
		return "NO_CONSUMERS"
	case CodeConnectionForced:
		return "CONNECTION_FORCED"
	case CodeInvalidPath:
		return "INVALID_PATH"
	case CodeAccessRefused:
		return "ACCESS_REFUSED"
	case CodeNotFound:
		return "NOT_FOUND"
	case CodeResourceLocked:
		return "RESOURCE_LOCKED"
	case CodePreconditionFailed:
		return "PRECONDITION_FAILED"
	case CodeFrameError:
		return "FRAME_ERROR"
	case CodeSyntaxError:
		return "SYNTAX_ERROR"
	case CodeCommandInvalid:
		return "COMMAND_INVALID"
	case CodeChannelError:
		return "CHANNEL_ERROR"
	case CodeUnexpectedFrame:
		return "UNEXPECTED_FRAME"
	case CodeResourceError:
		return "RESOURCE_ERROR"
	case CodeNotAllowed:
		return "NOT_ALLOWED"
	case CodeNotImplemented:
		return "NOT_IMPLEMENTED"
	case CodeInternalError:
		return "INTERNAL_ERROR"
	}
	return ""
}

// Error is an AMQP exception: what a channel.close or connection.close tells
// the peer. Text is the explanation alone, without the name of the code.
type Error struct {
	Code uint16
	Text string
}

// NewError formats an exception. The constructors below name the codes.
func NewError(code uint16, format string, args ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...)}
}

// Error returns the whole text: "NOT_FOUND - no queue 'q' in vhost '/'".
func (e *Error) Error() string {
	name := CodeName(e.Code)
	if name == "" {
		name = fmt.Sprintf("CODE_%d", e.Code)
	}
	if e.Text == "" {
		return name
	}
	return name + " - " + e.Text
}

// maxReplyText is the length in bytes of the longest shortstr.
const maxReplyText = 255

// ReplyText returns the text to send: that of Error, cut to what a shortstr
// holds. Clients decode it as UTF-8, so the cut never parts a character.
func (e *Error) ReplyText() string {
	text := e.Error()
	if len(text) <= maxReplyText {
		return text
	}
	const ellipsis = "..."
	cut := maxReplyText - len(ellipsis)
	for back := 0; back < utf8.UTFMax && !utf8.RuneStart(text[cut]); back++ {
		cut--
	}
	return text[:cut] + ellipsis
}

// Hard reports whether the error closes the connection; the others close only
// the channel. A code that AMQP lacks is hard: the peer's state is unknown.
func (e *Error) Hard() bool {
	switch e.Code {
	case CodeContentTooLarge, CodeNoRoute, CodeNoConsumers, CodeAccessRefused,
		CodeNotFound, CodeResourceLocked, CodePreconditionFailed:
		return false
	}
	return true
}

// AsError returns the exception in err's chain. Any other error becomes 541
// INTERNAL_ERROR with its text; nil stays nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return InternalError("%v", err)
}

// ContentTooLarge is 311, which closes the channel.
func ContentTooLarge(format string, args ...any) *Error {
	return NewError(CodeContentTooLarge, format, args...)
}

// ConnectionForced is 320, which closes the connection.
func ConnectionForced(format string, args ...any) *Error {
	return NewError(CodeConnectionForced, format, args...)
}

// InvalidPath is 402, which closes the connection.
func InvalidPath(format string, args ...any) *Error {
	return NewError(CodeInvalidPath, format, args...)
}

// AccessRefused is 403, which closes the channel.
func AccessRefused(format string, args ...any) *Error {
	return NewError(CodeAccessRefused, format, args...)
}

// NotFound is 404, which closes the channel.
func NotFound(format string, args ...any) *Error {
	return NewError(CodeNotFound, format, args...)
}

// ResourceLocked is 405, which closes the channel.
func ResourceLocked(format string, args ...any) *Error {
	return NewError(CodeResourceLocked, format, args...)
}

// PreconditionFailed is 406, which closes the channel.
func PreconditionFailed(format string, args ...any) *Error {
	return NewError(CodePreconditionFailed, format, args...)
}

// FrameError is 501, which closes the connection.
func FrameError(format string, args ...any) *Error {
	return NewError(CodeFrameError, format, args...)
}

// SyntaxError is 502, which closes the connection.
func SyntaxError(format string, args ...any) *Error {
	return NewError(CodeSyntaxError, format, args...)
}

// CommandInvalid is 503, which closes the connection.
func CommandInvalid(format string, args ...any) *Error {
	return NewError(CodeCommandInvalid, format, args...)
}

// ChannelError is 504, which closes the connection.
func ChannelError(format string, args ...any) *Error {
	return NewError(CodeChannelError, format, args...)
}

// UnexpectedFrame is 505, which closes the connection.
func UnexpectedFrame(format string, args ...any) *Error {
	return NewError(CodeUnexpectedFrame, format, args...)
}

// ResourceError is 506, which closes the connection.
func ResourceError(format string, args ...any) *Error {
	return NewError(CodeResourceError, format, args...)
}

// NotAllowed is 530, which closes the connection.
func NotAllowed(format string, args ...any) *Error {
	return NewError(CodeNotAllowed, format, args...)
}

// NotImplemented is 540, which closes the connection.
func NotImplemented(format string, args ...any) *Error {
	return NewError(CodeNotImplemented, format, args...)
}

// InternalError is 541, which closes the connection.
func InternalError(format string, args ...any) *Error {
	return NewError(CodeInternalError, format, args...)
}
