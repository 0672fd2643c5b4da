package flight

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
)

// TraceID names a trace, as in the W3C's Trace Context; all zero is none.
type TraceID [16]byte

// SpanID names a span of a trace; all zero is none.
type SpanID [8]byte

func (t TraceID) String() string { return hex.EncodeToString(t[:]) }
func (s SpanID) String() string  { return hex.EncodeToString(s[:]) }

// IsZero tells that there is no span.
func (s SpanID) IsZero() bool { return s == SpanID{} }

// Traceparent says which span of which trace something is, or belongs to.
type Traceparent struct {
	Trace   TraceID
	Span    SpanID
	Sampled bool // who started the trace wants it exported
}

// New is the first span of a new trace. Its ids are random, not secret.
func New() Traceparent {
	var t Traceparent
	for t.Trace == (TraceID{}) {
		binary.NativeEndian.PutUint64(t.Trace[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(t.Trace[8:], rand.Uint64())
	}
	t.Sampled = true
	return t.Child()
}

// Child is a new span of the same trace.
func (t Traceparent) Child() Traceparent {
	t.Span = SpanID{}
	for t.Span.IsZero() {
		binary.NativeEndian.PutUint64(t.Span[:], rand.Uint64())
	}
	return t
}

// IsZero tells that there is no trace.
func (t Traceparent) IsZero() bool { return t.Trace == TraceID{} }

// String is the traceparent in version 00, 55 characters.
func (t Traceparent) String() string {
	flags := "-00"
	if t.Sampled {
		flags = "-01"
	}
	return "00-" + t.Trace.String() + "-" + t.Span.String() + flags
}

// traceparentLength is that of version 00.
const traceparentLength = 55

// Parse reads a traceparent by the rules of the W3C: lower case, no id of
// zeros, not version ff; a later version may have more behind it. What is no
// traceparent is to be ignored, so there is no error.
func Parse(s string) (t Traceparent, ok bool) {
	if len(s) < traceparentLength || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return Traceparent{}, false
	}
	var version, flags [1]byte
	if !lowerHex(version[:], s[:2]) || !lowerHex(t.Trace[:], s[3:35]) || !lowerHex(t.Span[:], s[36:52]) || !lowerHex(flags[:], s[53:55]) {
		return Traceparent{}, false
	}
	longer := len(s) > traceparentLength
	if version[0] == 0xff || longer && (version[0] == 0 || s[traceparentLength] != '-') || t.IsZero() || t.Span.IsZero() {
		return Traceparent{}, false
	}
	t.Sampled = flags[0]&1 != 0
	return t, true
}

// lowerHex decodes s, which is twice as long as to.
func lowerHex(to []byte, s string) bool {
	for i := range s {
		if c := s[i]; c >= 'A' && c <= 'F' {
			return false
		}
	}
	_, err := hex.Decode(to, []byte(s))
	return err == nil
}

type key struct{}

// With is a context whose work belongs to the span.
func With(ctx context.Context, t Traceparent) context.Context {
	return context.WithValue(ctx, key{}, t)
}

// From is the span that the work of ctx belongs to; zero for none.
func From(ctx context.Context) Traceparent {
	t, _ := ctx.Value(key{}).(Traceparent)
	return t
}

// ChildOf is a new span of the trace that ctx belongs to, or the first one of a new trace.
func ChildOf(ctx context.Context) Traceparent {
	if t := From(ctx); !t.IsZero() {
		return t.Child()
	}
	return New()
}
