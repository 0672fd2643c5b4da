package flight

import (
	"strings"
	"testing"
)

const example = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// The cases are those of the W3C's specification.
func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		example: example,
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00":      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03":      example, // an unknown flag
		"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01":      example, // a later version
		"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what": example,
		"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what": "",
		"": "",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what": "",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0":       "",
		"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01":      "",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01":      "",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01":      "",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01":      "",
		"00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01":      "",
		"00 4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7 01":      "",
		"0--4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01":      "",
	} {
		got, ok := Parse(text)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%q: %v, %v; want %q", text, got, ok, want)
		}
	}
}

func TestNewSpans(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		a := New()
		b := a.Child()
		if a.Trace != b.Trace || a.Span == b.Span || !a.Sampled || !b.Sampled || seen[a.Trace.String()] {
			t.Fatalf("%v and its child %v", a, b)
		}
		seen[a.Trace.String()] = true
	}
	if c := ChildOf(t.Context()); c.IsZero() {
		t.Error("no trace was started")
	}
	a := New()
	if c := ChildOf(With(t.Context(), a)); c.Trace != a.Trace || c.Span == a.Span {
		t.Errorf("%v has the child %v", a, c)
	}
}

// What is taken for a traceparent is one, and is written as one.
func FuzzParse(f *testing.F) {
	f.Add(example)
	f.Add("cc" + example[2:] + "-x")
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := Parse(text)
		if !ok {
			return
		}
		if again, ok := Parse(got.String()); !ok || again != got || !strings.HasPrefix(text[2:], got.String()[2:53]) {
			t.Errorf("%q became %v, and that %v", text, got, again)
		}
	})
}
