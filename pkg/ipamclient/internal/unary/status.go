package unary

import (
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/grpc/codes"
)

// Error is a call that failed: by the server's word, by the connection or by
// the caller's deadline.
type Error struct {
	Code    codes.Code
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

// StatusOf is the error of a call; nil is OK, and an error of others Unknown.
func StatusOf(err error) Error {
	if err == nil {
		return Error{Code: codes.OK}
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return *e
	}
	return Error{codes.Unknown, err.Error()}
}

func failed(code codes.Code, format string, args ...any) *Error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

// byReset is the code for a stream that the server reset, by the table of the
// gRPC specification, "Errors" in PROTOCOL-HTTP2.
func byReset(reset uint32) codes.Code {
	switch reset {
	case 0x7: // REFUSED_STREAM: not begun
		return codes.Unavailable
	case resetCancel:
		return codes.Canceled
	case 0xb: // ENHANCE_YOUR_CALM
		return codes.ResourceExhausted
	case 0xc: // INADEQUATE_SECURITY
		return codes.PermissionDenied
	}
	return codes.Internal
}

// byHTTP is the code for an answer that is not gRPC's, by the table of
// http-grpc-status-mapping.
func byHTTP(status string) codes.Code {
	switch status {
	case "400":
		return codes.Internal
	case "401":
		return codes.Unauthenticated
	case "403":
		return codes.PermissionDenied
	case "404":
		return codes.Unimplemented
	case "429", "502", "503", "504":
		return codes.Unavailable
	}
	return codes.Unknown
}

// byTrailers is the end of a call as the server's trailers tell it; nil is OK.
func byTrailers(h headers) *Error {
	n, err := strconv.ParseUint(h.grpcStatus, 10, 32)
	if err != nil {
		return failed(codes.Unknown, "the answer has the grpc-status %q, which is not a number", h.grpcStatus)
	}
	if code := codes.Code(n); code != codes.OK {
		return &Error{code, decodeMessage(h.grpcMessage)}
	}
	return nil
}
