package path

import (
	"fmt"
	"strings"
	"time"

	"github.com/vpcchain/vpcchain/integration/performance"
)

// Intro is what the figures are.
const Intro = `Frames of 64 octets of one connection that is established, then of a new connection each; round trips are ICMP echoes that the far end's
kernel answers, one at a time. The pods are those of the chain and of vpc-ipamd on an m5.24xlarge of a simulation. "stock" has the
same links, packet filters and tracking, and the rules and routes that the stock CNI makes: for each pod a route in table main, a rule
to it, and on a secondary ENI a rule from it. "plain" is as many routers in a row (one between pods) without rules, filters and tracking. A
packet is one processor's work from the call that sends it to the far end's link. Ratios are to "plain", measured in turns with the others.

The host of the VPC is behind the simulation's own router, whose packet filter is most of what lies between "plain" and the others there.
`

// Report is the tables of a mode.
func Report(mode string, all []Result) string {
	var out strings.Builder
	for _, way := range []string{toPod, toVPC} {
		fmt.Fprintf(&out, "\n### %s, %s\n\n| pods | layout | rules | packets/s | / plain | new connections/s | / plain | round trip p50 µs | p99 µs | p50 / plain |\n|---|---|---|---|---|---|---|---|---|---|\n", mode, way)
		for _, r := range all {
			plain := r.figures(bare, way)
			for _, l := range layouts() {
				f := r.figures(l, way)
				fmt.Fprintf(&out, "| %d | %s | %d | %.0f | %s | %s | %s | %.1f | %.1f | %s |\n", r.Pods, l, r.rules[l],
					median(f.flood), ratio(median(f.flood), median(plain.flood)), orDash(median(f.fresh)), ratio(median(f.fresh), median(plain.fresh)),
					us(f.trips.Quantile(0.5)), us(f.trips.Quantile(0.99)), performance.Ratio(f.trips.Quantile(0.5), plain.trips.Quantile(0.5)))
			}
		}
	}
	return out.String()
}

func us(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

func orDash(x float64) string {
	if x == 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f", x)
}

func ratio(a, b float64) string {
	if a == 0 || b == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", a/b)
}
