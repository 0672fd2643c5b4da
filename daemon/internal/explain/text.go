package explain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vpcchain/vpcchain/pkg/snat"
)

// why is the verdict's reason in a sentence or two.
func (w *way) why() string {
	v := w.a.Verdict
	switch v.Outcome {
	case ToNode:
		return fmt.Sprintf("%s is an address of this node", w.dst)
	case ToPod:
		why := fmt.Sprintf("%s is a pod of this node, behind %s", w.dst, v.Link)
		if w.a.From != "outside" {
			why += "; it stays on the node, where no security group is asked"
		}
		return why
	}
	if v.Refused != "" {
		return v.Refused
	}
	if v.Astray {
		return fmt.Sprintf("%s is a pod of this node, but no rule led to its route; whether the VPC brings the packet back depends on the ENI of the pod."+
			" `vpcctl check` says what is missing", w.dst)
	}
	if w.a.From != "pod" {
		return fmt.Sprintf("it leaves by %s with the source %s", v.Link, v.Source)
	}
	if v.SNAT {
		return fmt.Sprintf("%s is neither in the VPC's CIDRs nor in the excluded ones, so the node gives the packet its own address %s."+
			" The pod keeps its address with AWS_VPC_K8S_CNI_EXTERNALSNAT=true, for all destinations outside the VPC (something else must NAT then),"+
			" or with the destination's CIDR in AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS", w.dst, v.Source)
	}
	if w.keeper != "" {
		return fmt.Sprintf("%s counts as inside: %s keeps the pod's address", w.dst, w.keeper)
	}
	if !slices.ContainsFunc(w.s.NAT, hasSNAT) {
		return "the kernel has no SNAT of this chain (AWS_VPC_K8S_CNI_EXTERNALSNAT=true, or vpc-snat is not in the conflist): the pod keeps its address"
	}
	return "no rule of the outbound NAT takes it: the pod keeps its address"
}

func hasSNAT(c snat.Chain) bool {
	return slices.ContainsFunc(c.Rules, func(l snat.Line) bool { return l.To.IsValid() })
}

// String is the answer for a person: a decision a line, then what becomes of
// the packet and why.
func (a Answer) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s) to %s", a.Src, a.From, a.Dst)
	if a.Port != 0 {
		fmt.Fprintf(&b, " port %d", a.Port)
	}
	b.WriteString("\n")
	for _, s := range a.Steps {
		fmt.Fprintf(&b, "  %-7s %s\n          -> %s\n", s.Stage, s.Object, s.Effect)
	}
	b.WriteString(a.Verdict.String() + "\n")
	for _, d := range a.Doubts {
		b.WriteString("not certain: " + d + "\n")
	}
	return b.String()
}

// String is the outcome in a line, and the reason.
func (v Verdict) String() string {
	var b strings.Builder
	b.WriteString(v.Outcome)
	if v.Outcome == Leaves || v.Outcome == ToPod {
		fmt.Fprintf(&b, " by %s", v.Link)
		if v.ENI != "" {
			fmt.Fprintf(&b, " (%s)", v.ENI)
		}
		fmt.Fprintf(&b, " with source %s", v.Source)
		if v.SNAT {
			b.WriteString(", SNAT")
		} else {
			b.WriteString(", no SNAT")
		}
	}
	return b.String() + ": " + v.Why
}
