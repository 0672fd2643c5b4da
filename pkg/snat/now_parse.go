package snat

import (
	"net/netip"
	"strconv"
	"strings"
)

// words splits a rule as `iptables -S` prints it; a comment is one word.
func words(text string) []string {
	var out []string
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		var w string
		if rest, ok := strings.CutPrefix(text, `"`); ok {
			w, text, _ = strings.Cut(rest, `"`)
		} else {
			w, text, _ = strings.Cut(text, " ")
		}
		out = append(out, w)
	}
	return out
}

// parseLine reads a rule of iptables, without "-A <chain>". A word that it does
// not know makes the rule unreadable.
func parseLine(text string) Line {
	p := lineParser{words: words(text)}
	for p.more() {
		p.not = p.take("!")
		p.option(p.next())
	}
	return p.line
}

type lineParser struct {
	line  Line
	words []string
	not   bool
}

func (p *lineParser) more() bool { return len(p.words) > 0 }

func (p *lineParser) next() string {
	if !p.more() {
		p.line.Unreadable = "it ends early"
		return ""
	}
	w := p.words[0]
	p.words = p.words[1:]
	return w
}

func (p *lineParser) take(word string) bool {
	if p.more() && p.words[0] == word {
		p.words = p.words[1:]
		return true
	}
	return false
}

func (p *lineParser) option(word string) {
	switch word {
	case "-i":
		p.line.In = p.link()
	case "-o":
		p.line.Out = p.link()
	case "-d":
		p.line.Dst, p.line.DstNot = p.prefixes(), p.not
	case "-s":
		p.line.Src, p.line.SrcNot = p.prefixes(), p.not
	case "-m":
		if m := p.next(); m != "comment" && m != "addrtype" {
			p.line.Unreadable = "it matches by " + m
		}
	case "--comment":
		p.next()
	case "--dst-type":
		p.line.Local = Yes
		if p.not {
			p.line.Local = No
		}
		if t := p.next(); t != "LOCAL" {
			p.line.Unreadable = "it asks for addresses of type " + t
		}
	case "--limit-iface-in":
	case "-j":
		p.target(p.next())
	default:
		p.line.Unreadable = "it has " + word
	}
}

func (p *lineParser) link() Name {
	name, prefix := strings.CutSuffix(p.next(), "+")
	return Name{Text: name, Prefix: prefix, Not: p.not}
}

func (p *lineParser) prefixes() []netip.Prefix {
	text := p.next()
	if !strings.Contains(text, "/") {
		text += "/32"
	}
	out, err := netip.ParsePrefix(text)
	if err != nil {
		p.line.Unreadable = "its address " + text + " is none"
		return nil
	}
	return []netip.Prefix{out}
}

// target reads what the rule does, to its end.
func (p *lineParser) target(name string) {
	switch name {
	case "RETURN":
		p.line.Return = true
	case "ACCEPT":
		p.line.Accept = true
	case "SNAT":
		if !p.take("--to-source") {
			p.line.Unreadable = "it names no source"
			return
		}
		to, err := netip.ParseAddr(p.next())
		if err != nil {
			p.line.Unreadable = "its new source is not one address"
		}
		p.line.To = to
		p.words = nil // --random, --random-fully: the port
	case "CONNMARK":
		p.connmark()
	case "MASQUERADE", "DNAT", "MARK", "LOG", "REDIRECT", "NETMAP", "DROP":
		p.line.Unreadable = "it has the target " + name
		p.words = nil
	default:
		p.line.Target = name
	}
}

func (p *lineParser) connmark() {
	what, value := p.next(), ""
	switch what {
	case "--set-xmark":
		value = p.next()
	case "--restore-mark":
		for p.more() {
			if p.next() == "--ctmask" {
				value = p.next()
			}
		}
	}
	value, _, _ = strings.Cut(value, "/")
	n, err := strconv.ParseUint(value, 0, 32)
	if err != nil || n == 0 {
		p.line.Unreadable = "its mark cannot be read"
	}
	if what == "--restore-mark" {
		p.line.Restored, p.line.Mark = uint32(n), uint32(n)
	} else {
		p.line.Conn = uint32(n)
	}
	p.words = nil
}
