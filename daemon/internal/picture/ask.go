package picture

import (
	"fmt"
	"net/url"
	"strconv"
)

// Asked is the form for explain, as it was filled in, and what came of it.
type Asked struct {
	Off            string // why explain cannot be asked here; empty: it can
	Src, Dst, Port string
	Answer         string // as vpcctl explain prints it
	Fault          string // in place of the answer
}

// query is the form and the refreshing as a reference to the same page.
func (a Asked) query(refresh int) string {
	q := url.Values{}
	for name, value := range map[string]string{"src": a.Src, "dst": a.Dst, "port": a.Port} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if refresh > 0 {
		q.Set("refresh", strconv.Itoa(refresh))
	}
	return "?" + q.Encode()
}

// link refers to this page with another refreshing.
func (p *page) link(a Asked, refresh int, text string) {
	p.raw("<a")
	p.attr("href", a.query(refresh))
	p.raw(">")
	p.text(text)
	p.raw("</a>")
}

func (p *page) ask(v View) {
	a := v.Asked
	p.raw(`<section id="explain"><h2>Explain the way of a packet</h2>`)
	defer p.raw("</section>")
	if a.Off != "" {
		p.cell("p", a.Off)
		return
	}
	p.raw(`<form method="get" action="#explain">`)
	p.field("src", "", "from", a.Src, `required placeholder="10.20.11.4, namespace/pod or node"`)
	p.field("dst", "", "to", a.Dst, `required placeholder="52.78.83.169, namespace/pod or node"`)
	p.field("port", ` class="port"`, "port", a.Port, `inputmode="numeric" pattern="[0-9]*"`)
	if v.Refresh > 0 {
		p.raw(`<input type="hidden" name="refresh"`)
		p.attr("value", fmt.Sprint(v.Refresh))
		p.raw(">")
	}
	p.raw(`<button>Explain</button></form>`)
	if a.Fault != "" {
		p.line(`<p class="bad" id="fault">`, a.Fault)
	}
	if a.Answer != "" {
		p.raw(`<pre id="answer">`)
		p.text(a.Answer)
		p.raw("</pre>")
	}
}

func (p *page) field(name, class, label literal, value string, more literal) {
	p.raw("<label", class, ">", label, `<input name="`, name, `" maxlength="300" autocomplete="off" `, more)
	p.attr("value", value)
	p.raw("></label>")
}
