package chain

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vpcchain/vpcchain/integration/performance"
)

const intro = `Pods added and deleted through libcni on a node of a simulation whose pool is warm and whose vpc-ipamd runs, each variant in turns with
the others. 500 addresses are there, each used again 5 s after its release. Pods have no branch ENI, port mapping or limit of bandwidth;
the time is that of libcni's call. The floor is the netlink requests of vpc-veth in one process that reads nothing back, and as many
executions of an empty Go binary as the chain of four executes plugins. "ptp, host-local" are two executions. p99 is left out below
200 samples.
`

// Aims of the chain of four.
const overFloor = 1.5

func (b *bench) report(all []variant, widths []int) string {
	var out strings.Builder
	out.WriteString(intro)
	b.aims(&out, widths)
	for _, w := range widths {
		title := fmt.Sprintf("%d pods at once", w)
		if w == 1 {
			title = "One pod at a time"
		}
		fmt.Fprintf(&out, "\n### %s\n\n| what | n | p50 ms | p90 ms | p99 ms | p50 / floor | p50 / %s |\n|---|---|---|---|---|---|---|\n", title, upstreamName)
		for _, verb := range []string{"ADD", "DEL"} {
			for _, v := range all {
				s := b.took[key{v.name, verb, "", w}]
				fmt.Fprintf(&out, "| %s: %s | %d | %s | %s | %s | %s | %s |\n", verb, v.name, len(s),
					performance.MS(s.Quantile(0.5)), performance.MS(s.Quantile(0.9)), s.P99(),
					b.over(v.name, floorName, verb, w), b.over(v.name, upstreamName, verb, w))
			}
		}
	}
	b.programs(&out, widths)
	return out.String()
}

func (b *bench) over(of, by, verb string, width int) string {
	return performance.Ratio(b.took[key{of, verb, "", width}].Quantile(0.5), b.took[key{by, verb, "", width}].Quantile(0.5))
}

// aims tells how far the chain of four is from what it is to be.
func (b *bench) aims(out *strings.Builder, widths []int) {
	fmt.Fprintf(out, "\nAims of the chain of four, by the p50 of an ADD: at most %.1f times the floor, and at most what %s take.\n\n| at once | / floor | met | / %s | met |\n|---|---|---|---|---|\n",
		overFloor, upstreamName, upstreamName)
	for _, w := range widths {
		p50 := func(of string) float64 { return float64(b.took[key{of, "ADD", "", w}].Quantile(0.5)) }
		ours := p50(b.ours)
		fmt.Fprintf(out, "| %d | %.2f | %s | %.2f | %s |\n", w, ours/p50(floorName), met(ours <= overFloor*p50(floorName)),
			ours/p50(upstreamName), met(ours <= p50(upstreamName)))
	}
}

func met(ok bool) string {
	if ok {
		return "yes"
	}
	return "no"
}

// programs is how long each program of the variants ran, from its start to its end.
func (b *bench) programs(out *strings.Builder, widths []int) {
	var rows []key
	for k := range maps.Keys(b.took) {
		k.width = 0
		if k.part != "" && told(k.of, b.ours) && !slices.Contains(rows, k) {
			rows = append(rows, k)
		}
	}
	slices.SortFunc(rows, func(x, y key) int {
		return strings.Compare(b.rank(x), b.rank(y))
	})
	out.WriteString("\n### Each program\n\np50 in ms from the execution of a program to its end, at so many pods at once; in parentheses by how much more than the empty Go binary.\nWhat a plugin delegates to is in its time.\n\n| verb | in | program |")
	for _, w := range widths {
		fmt.Fprintf(out, " %d |", w)
	}
	out.WriteString("\n|---|---|---|" + strings.Repeat("---|", len(widths)) + "\n")
	for _, k := range rows {
		fmt.Fprintf(out, "| %s | %s | %s |", k.verb, k.of, k.part)
		for _, w := range widths {
			k.width = w
			p50, empty := b.took[k].Quantile(0.5), b.took[key{floorName, k.verb, "empty", w}].Quantile(0.5)
			fmt.Fprintf(out, " %s", performance.MS(p50))
			if k.part != "netlink" && k.part != "empty" {
				fmt.Fprintf(out, " (%+.1f)", float64((p50-empty).Microseconds())/1000)
			}
			out.WriteString(" |")
		}
		out.WriteString("\n")
	}
}

// told leaves out the variants whose programs another one has as well.
func told(of, ours string) bool {
	return of == floorName || strings.HasPrefix(of, ours) || strings.Contains(of, "bandwidth")
}

// rank sorts by verb, then the floor, the chain of four, the others, each in the order of execution.
func (b *bench) rank(k key) string {
	of := "2" + k.of
	switch k.of {
	case floorName:
		of = "0"
	case b.ours:
		of = "1"
	}
	place := fmt.Sprintf("%02d", max(strings.Index(k.of, k.part), 0))
	return k.verb + of + place + k.part
}
