package picture

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/recent"
)

// HTML is the page.
func (v View) HTML() []byte {
	p := &page{}
	p.raw(`<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">`)
	if v.Refresh > 0 {
		p.raw(`<meta http-equiv="refresh"`)
		p.attr("content", fmt.Sprint(v.Refresh))
		p.raw(">")
	}
	p.raw("<title>")
	p.text(word(v.Status.State) + " · vpc-ipamd on " + v.Instance)
	p.raw("</title><style>", style, "</style></head><body><header>")
	p.header(v)
	p.raw("</header><main>")
	p.counts(v)
	p.next(v)
	p.raw(`<section id="enis"><h2>ENIs</h2>`)
	for _, r := range v.Rows {
		p.row(r)
	}
	p.trunk(v.Trunk)
	p.lost(v.Lost)
	p.raw(`</section>`)
	p.ask(v)
	p.events(v)
	p.pods(v)
	p.raw("</main></body></html>\n")
	return p.b.Bytes()
}

// word is what vpcctl status calls it.
func word(s engine.State) string {
	switch s {
	case engine.OK:
		return "serving"
	case engine.Limited:
		return "limited"
	}
	return "unavailable"
}

func (p *page) header(v View) {
	p.raw("<h1>vpc-ipamd on ")
	p.cell("span", v.Instance)
	p.raw("</h1>")
	p.facts(v.Facts)
	p.raw(`<p class="dim">`)
	p.raw("<time")
	p.attr("datetime", v.At.UTC().Format(time.RFC3339))
	p.raw(">")
	p.text(v.At.UTC().Format("2006-01-02 15:04:05 UTC"))
	p.raw("</time> · ")
	if v.Refresh > 0 {
		p.text(fmt.Sprintf("comes anew every %d s, ", v.Refresh))
		p.link(v.Asked, 0, "stop that")
	} else {
		p.link(v.Asked, usualRefresh, fmt.Sprintf("refresh every %d s", usualRefresh))
	}
	p.raw("</p>")
	p.raw(`<div id="status"`)
	p.attr("class", "says "+word(v.Status.State))
	p.raw("><b>", map[engine.State]literal{engine.OK: "● ", engine.Limited: "▲ "}[v.Status.State])
	if v.Status.State == engine.Unavailable {
		p.raw("■ ")
	}
	p.text(word(v.Status.State))
	p.raw("</b>")
	for reason := range strings.SplitSeq(v.Status.Reason, "; ") {
		if reason != "" {
			p.cell("p", reason)
		}
	}
	p.raw("</div>")
}

func (p *page) facts(facts []Fact) {
	p.raw(`<dl class="facts">`)
	for _, f := range facts {
		p.raw("<div>")
		p.cell("dt", f.Name)
		p.cell("dd", f.Value)
		p.raw("</div>")
	}
	p.raw("</dl>")
}

// counts are the key of the drawings as well.
func (p *page) counts(v View) {
	p.raw(`<ul class="counts" id="counts">`)
	for st, l := range looks() {
		if st := State(st); v.Counts[st] == 0 && (st == NotReady || st >= Reserved) {
			continue
		}
		p.raw("<li")
		if v.Counts[st] == 0 {
			p.raw(` class="zero"`)
		}
		p.attr("data-state", l.name)
		p.attr("title", l.hint)
		p.raw(`><svg width="18" height="18" aria-hidden="true">`)
		p.glyph(Slot{State: State(st)}, 0, 0)
		p.raw("</svg><b>")
		p.num(v.Counts[st])
		p.raw("</b> ")
		p.text(l.name)
		p.raw("</li>")
	}
	p.raw("</ul>")
}

// glyph is a slot with its corner at x, y.
func (p *page) glyph(s Slot, x, y int) {
	l := looks()[s.State]
	p.raw(`<g class="`, l.class, `" transform="translate(`)
	p.num(x)
	p.raw(" ")
	p.num(y)
	p.raw(`)">`)
	if s.Title != "" {
		p.cell("title", s.Title)
	}
	p.raw(`<rect x=".75" y=".75" width="16.5" height="16.5" rx="3"/>`, l.shape)
	if s.Doubt {
		p.raw(mark)
	}
	p.raw(`</g>`)
}

func (p *page) next(v View) {
	p.raw(`<div id="next">`)
	for _, w := range v.Waits {
		p.line(`<p class="bad">`, w)
	}
	p.line(`<p><span class="dim">wanted: </span>`, v.Wanted)
	for _, n := range v.Next {
		p.line(`<p><span class="dim">next: </span>`, n)
	}
	switch {
	case v.Hold != "":
		p.line(`<p><span class="dim">held up: </span>`, v.Hold)
	case len(v.Next) == 0:
		p.line(`<p><span class="dim">next: </span>`, "nothing")
	}
	p.raw("</div>")
}

func (p *page) events(v View) {
	p.raw(`<section id="events"><h2>Last events</h2>`)
	if len(v.Events) == 0 {
		p.raw(`<p class="dim">none yet</p>`)
	}
	open := v.Events[:min(newest, len(v.Events))]
	p.records(open)
	if older := v.Events[len(open):]; len(older) > 0 {
		p.raw("<details>")
		p.cell("summary", fmt.Sprintf("%d older", len(older)))
		p.records(older)
		p.raw("</details>")
	}
	p.raw("</section>")
}

// newest is how many events are shown at once.
const newest = 20

func (p *page) records(events []recent.Record) {
	p.raw("<table><tbody>")
	for _, e := range events {
		level, name := levelOf(e)
		p.raw("<tr")
		p.attr("class", level)
		p.raw(`><td class="t"`)
		p.attr("title", e.At.UTC().Format(time.RFC3339))
		p.raw(">")
		p.text(e.At.UTC().Format("15:04:05"))
		p.raw(`</td><td class="l">`)
		p.text(name)
		p.raw("</td><td>")
		p.text(e.Text)
		p.raw(` <span class="dim">`)
		p.text(e.Attrs)
		p.raw("</span></td></tr>")
	}
	p.raw("</tbody></table>")
}

// levelOf is the class and the sign of a record.
func levelOf(r recent.Record) (class, sign string) {
	switch {
	case r.Level >= slog.LevelError:
		return "error", "■ error"
	case r.Level >= slog.LevelWarn:
		return "warn", "▲ warn"
	case r.Level >= slog.LevelInfo:
		return "info", "info"
	}
	return "pod", "pod"
}

func (p *page) pods(v View) {
	p.raw(`<section id="pods"><h2>`)
	p.text(fmt.Sprintf("Pods: %d", len(v.Pods)+v.MorePods))
	p.raw(`</h2><table><thead><tr><th>pod</th><th>address</th><th>for</th><th class="opt">ENI</th><th class="opt">container</th></tr></thead><tbody>`)
	for _, d := range v.Pods {
		p.raw("<tr><td>")
		p.text(d.Name)
		if d.Note != "" {
			p.raw(` <span class="bad">`)
			p.text(d.Note)
			p.raw("</span>")
		}
		p.raw(`</td><td class="m"><a`)
		p.attr("href", "?src="+d.Addr+"#explain")
		p.raw(">")
		p.text(d.Addr)
		p.raw(`</a></td><td class="t"`)
		p.attr("title", "since "+d.Since.UTC().Format(time.RFC3339))
		p.raw(">")
		p.text(age(v.At, d.Since))
		p.raw(`</td><td class="m opt">`)
		p.text(d.ENI)
		p.raw(`</td><td class="m opt"`)
		p.attr("title", d.Container)
		p.raw(">")
		p.text(clip(d.Container))
		p.raw("</td></tr>")
	}
	p.raw("</tbody></table>")
	if v.MorePods > 0 {
		p.cell("p", fmt.Sprintf("and %d more: vpcctl pool --json has all", v.MorePods))
	}
	p.raw("</section>")
}

// clip shows as much of a container's id as crictl does.
func clip(id string) string {
	const most = 13
	if len(id) > most {
		return id[:most]
	}
	return id
}
