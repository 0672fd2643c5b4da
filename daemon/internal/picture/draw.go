package picture

import (
	"fmt"
	"strings"
)

// The grid of the drawings, pixels.
const (
	cell       = 18
	pitch      = 22
	perLine    = 10 // single addresses
	perHalf    = 8  // a /28 has two lines
	branchCell = 48
)

func (p *page) row(r Row) {
	p.raw(`<div class="eni"`)
	p.attr("id", r.ID)
	p.raw(">")
	p.head(r.ID, tally(r.Counts), r.Facts, r.Note, r.Bad)
	p.raw(`<div class="groups">`)
	for _, g := range r.Groups {
		p.group(r.ID, g)
	}
	if r.Room > 0 {
		p.raw(`<span class="more">`)
		p.text(fmt.Sprintf("room for %d more /28", r.Room))
		p.raw("</span>")
	}
	p.raw("</div>")
	for _, d := range r.Doubts {
		p.line(`<p class="note">! `, d)
	}
	if r.More > 0 {
		p.line(`<p class="note">`, fmt.Sprintf("and %d more", r.More))
	}
	p.raw("</div>")
}

func (p *page) head(id, sum string, facts []Fact, note string, bad bool) {
	p.raw(`<div class="head">`)
	p.cell("h3", id)
	p.raw(`<span class="sum">`)
	p.text(sum)
	p.raw("</span>")
	p.facts(facts)
	p.raw("</div>")
	if note == "" {
		return
	}
	if bad {
		p.line(`<p class="bad">not ready: `, note)
		return
	}
	p.line(`<p class="note">`, note)
}

// group draws one group of slots.
func (p *page) group(id string, g Group) {
	columns := perLine
	if g.Prefix != "" {
		columns = perHalf
	}
	p.raw("<figure>")
	if g.Prefix != "" {
		p.cell("figcaption", g.Prefix)
	}
	p.open(min(columns, len(g.Slots))*pitch, (len(g.Slots)+columns-1)/columns*pitch, strings.TrimSpace(id+" "+g.Prefix)+": "+tally(count(g.Slots)))
	for i, s := range g.Slots {
		p.glyph(s, i%columns*pitch, i/columns*pitch)
	}
	p.raw("</svg></figure>")
}

// open begins a drawing of w times h pixels, the gap behind the last slot counted.
func (p *page) open(w, h int, label string) {
	p.raw(`<svg role="img" width="`)
	p.num(w - pitch + cell)
	p.raw(`" height="`)
	p.num(h - pitch + cell)
	p.raw(`"`)
	p.attr("aria-label", label)
	p.raw(">")
}

func count(slots []Slot) [states]int {
	var n [states]int
	for _, s := range slots {
		n[s.State]++
	}
	return n
}

// tally says how many slots are in which state.
func tally(n [states]int) string {
	var out []string
	for st, l := range looks() {
		if n[st] > 0 {
			out = append(out, fmt.Sprintf("%d %s", n[st], l.name))
		}
	}
	return strings.Join(out, ", ")
}

func (p *page) trunk(t *Trunk) {
	if t == nil {
		return
	}
	id := t.ID
	if id == "" {
		id = "no trunk ENI"
	}
	p.raw(`<div class="eni" id="trunk">`)
	p.head(id, "", t.Facts, t.Note, t.Bad)
	p.raw(`<div class="groups">`)
	for _, b := range t.Branches {
		p.raw(`<figure><svg role="img" class="branch" width="`)
		p.num(branchCell)
		p.raw(`" height="`)
		p.num(cell)
		p.raw(`"`)
		p.attr("aria-label", b.Title)
		p.raw(">")
		p.glyph(b.Slot, 0, 0)
		p.raw(`<text x="23" y="13">`)
		p.num(b.VLAN)
		p.raw("</text></svg>")
		p.cell("figcaption", b.Word)
		p.raw("</figure>")
	}
	p.raw("</div></div>")
}

func (p *page) lost(slots []Slot) {
	if len(slots) == 0 {
		return
	}
	p.raw(`<div class="eni" id="lost"><div class="head"><h3>on no ENI</h3></div><div class="groups">`)
	for _, s := range slots {
		p.raw("<figure>")
		p.open(pitch, pitch, s.Title)
		p.glyph(s, 0, 0)
		p.raw("</svg></figure>")
	}
	p.raw("</div>")
	for _, s := range slots {
		p.line(`<p class="bad">`, s.Title)
	}
	p.raw("</div>")
}
