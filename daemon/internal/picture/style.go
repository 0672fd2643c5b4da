package picture

import (
	"crypto/sha256"
	"encoding/base64"
)

// style is all of the page's CSS. The colours are of Okabe and Ito's palette,
// which people with any kind of colour vision tell apart; the shapes differ as well.
const style literal = `
:root{color-scheme:light dark;--bg:#fff;--card:#f6f7f9;--fg:#16191d;--dim:#5a6472;--line:#d3d8df;
--used:#0072b2;--free:#009e73;--cool:#b87800;--held:#c43d00;--off:#8a929c;--ink:#fff}
@media(prefers-color-scheme:dark){:root{--bg:#13161b;--card:#1c2027;--fg:#e8eaed;--dim:#a3adba;--line:#3a414c;
--used:#56b4e9;--free:#27c498;--cool:#f0b429;--held:#ff8a5c;--off:#7b8490;--ink:#10141a}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.45 system-ui,"DejaVu Sans",sans-serif;overflow-wrap:anywhere}
main,header{max-width:1240px;margin:0 auto;padding:12px 16px}
header{padding-bottom:0}main{padding-top:0}h1 span,td.m{white-space:nowrap}
h1{font-size:20px;margin:0 0 4px}
h2{font-size:16px;margin:24px 0 8px}
p{margin:4px 0}
code,pre,td.m{font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:13px}
a{color:inherit}
.dim,.facts dt{color:var(--dim)}
.facts{display:flex;flex-wrap:wrap;gap:0 16px;margin:0;font-size:14px}
.facts div{display:flex;gap:5px}
.facts dd{margin:0}
.says{border-left:8px solid var(--line);border-radius:4px;background:var(--card);padding:8px 12px;margin:12px 0}
.says b{font-size:18px}
.serving{border-color:var(--free)}.serving b{color:var(--free)}
.limited{border-color:var(--cool)}.limited b{color:var(--cool)}
.unavailable{border-color:var(--held)}.unavailable b{color:var(--held)}
.counts{display:flex;flex-wrap:wrap;gap:8px;list-style:none;padding:0;margin:12px 0}
.counts li{display:flex;align-items:center;gap:8px;background:var(--card);border:1px solid var(--line);border-radius:6px;padding:4px 10px 4px 8px}
.counts b{font-size:20px;font-variant-numeric:tabular-nums}
.counts .zero{opacity:.6}
.eni{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:8px 12px;margin:8px 0}
.eni h3{font:600 15px/1.45 ui-monospace,"DejaVu Sans Mono",monospace;margin:0 12px 0 0}
.sum{font-weight:600;margin-right:16px}
.head{display:flex;flex-wrap:wrap;align-items:baseline}
.note{color:var(--cool)}
.bad{color:var(--held);font-weight:600}
.groups{display:flex;flex-wrap:wrap;gap:8px 14px;margin-top:8px;align-items:flex-end}
.groups figure{margin:0}
.groups figcaption{font-size:12px;color:var(--dim);font-variant-numeric:tabular-nums}
.more{border:1px dashed var(--line);border-radius:4px;padding:2px 8px;color:var(--dim);font-size:13px}
svg{display:block;overflow:visible}
svg rect{fill:none;stroke-width:1.5}
svg path{fill:none;stroke-width:2;stroke-linecap:round}
svg text{font:11px ui-monospace,"DejaVu Sans Mono",monospace;fill:var(--fg)}
.used rect{fill:var(--used);stroke:var(--used)}
.free rect,.wait rect{stroke:var(--free)}.free circle{fill:var(--free)}
.wait rect{stroke-dasharray:3 2}.wait circle{fill:none;stroke:var(--free);stroke-width:1.5}
.cool rect,.cool path{stroke:var(--cool)}
.held rect,.lost rect{fill:var(--held);stroke:var(--held)}.held path,.lost path,.used path{stroke:var(--ink)}
.rsvd rect,.rsvd path{stroke:var(--off)}
.none rect{stroke:var(--line);stroke-dasharray:2 2}
table{border-collapse:collapse;width:100%;font-size:14px}
td,th{text-align:left;padding:3px 10px 3px 0;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--dim);font-weight:600}
td.t,td.l{white-space:nowrap}td.t{font-variant-numeric:tabular-nums}
.warn .l{color:var(--cool);font-weight:600}.error .l{color:var(--held);font-weight:600}
form{display:flex;flex-wrap:wrap;gap:8px;align-items:end}
label{display:flex;flex-direction:column;font-size:13px;color:var(--dim);flex:1 1 180px;min-width:0}
label.port{flex:0 1 90px}
input,button{font:15px ui-monospace,"DejaVu Sans Mono",monospace;padding:6px 8px;border:1px solid var(--line);border-radius:4px;background:var(--bg);color:var(--fg);width:100%;min-width:0}
button{width:auto;font-family:inherit;background:var(--card);cursor:pointer}
pre{background:var(--card);border:1px solid var(--line);border-radius:4px;padding:8px 12px;white-space:pre-wrap;margin:8px 0}
summary{cursor:pointer;color:var(--dim);padding:4px 0}
@media(max-width:640px){.opt{display:none}}
`

// policy is the page's Content-Security-Policy: nothing is loaded, nothing is
// run, and the one style is that of this file. It stands beside the escaping: what
// would get through there does nothing.
func policy() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}
