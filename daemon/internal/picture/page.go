package picture

import (
	"bytes"
	"html"
	"strconv"
	"strings"
)

// literal is markup. A constant of the source becomes one by itself; a string
// that came from somewhere does not, and would have to be converted, which a test
// of this package forbids. So whatever is not written here goes through text or
// attr.
type literal string

// page is a document that is being written.
type page struct{ b bytes.Buffer }

// raw writes markup.
func (p *page) raw(m ...literal) {
	for _, s := range m {
		p.b.WriteString(string(s))
	}
}

// text writes text between tags.
func (p *page) text(s string) {
	if plain(s) {
		p.b.WriteString(s)
		return
	}
	p.b.WriteString(html.EscapeString(printable(s)))
}

// plain tells that a text is written as it is, as nearly all are.
func plain(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c > '~', c == '<', c == '>', c == '&', c == '"', c == '\'':
			return false
		}
	}
	return true
}

// attr writes an attribute. It is not for those that have a language of their
// own: URLs with a scheme, scripts, styles.
func (p *page) attr(name literal, value string) {
	p.raw(" ", name, `="`)
	p.text(value)
	p.raw(`"`)
}

func (p *page) num(n int) { p.b.WriteString(strconv.Itoa(n)) }

// cell writes an element with a text.
func (p *page) cell(tag literal, s string) {
	p.raw("<", tag, ">")
	p.text(s)
	p.raw("</", tag, ">")
}

// line writes a paragraph; open is its tag with what stands before the text.
func (p *page) line(open literal, s string) {
	p.raw(open)
	p.text(s)
	p.raw("</p>")
}

// printable replaces what would not show, or would show as something else:
// control characters, bytes that are no UTF-8, and the characters that turn the
// direction of writing, with which a name looks like another one.
func printable(s string) string {
	const instead = '\uFFFD'
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r < ' ', r >= 0x7f && r < 0xa0, r == 0xfeff,
			r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2060 && r <= 0x206f:
			return instead
		}
		return r
	}, strings.ToValidUTF8(s, string(instead)))
}
