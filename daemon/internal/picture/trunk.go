package picture

import (
	"fmt"
	"strings"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
	"github.com/vpcchain/vpcchain/daemon/internal/trunking"
)

// Trunk is the ENI of the branch ENIs.
type Trunk struct {
	ID       string // empty while there is none
	Facts    []Fact
	Note     string
	Bad      bool
	Branches []Branch
}

// Branch is a branch ENI.
type Branch struct {
	Slot
	VLAN int
	Word string // its state
}

func trunkOf(v trunking.View, now time.Time) *Trunk {
	out := &Trunk{ID: v.Trunk.ID, Note: v.Trunk.Reason, Bad: !v.Trunk.Ready && (v.Waiters > 0 || len(v.Branches) > 0)}
	out.Facts = append(out.Facts, Fact{"trunk ENI", ""}, Fact{"branch ENIs", fmt.Sprintf("%d of %d", len(v.Branches), v.Limit)})
	for _, b := range v.Branches {
		out.Branches = append(out.Branches, branchOf(b, now))
	}
	return out
}

func branchOf(b trunking.Shown, now time.Time) Branch {
	out := Branch{VLAN: b.VLAN, Word: string(b.State)}
	switch b.State {
	case branch.InUse:
		out.State = Used
	case branch.Warm:
		out.State = Free
	case branch.Cooling:
		out.State = Cooling
	case branch.InDoubt:
		out.State = Withheld
	default: // it is being made or deleted
		out.State = NotReady
	}
	out.Title = fmt.Sprintf("VLAN %d %s", b.VLAN, b.State)
	for _, s := range []string{b.ENI, addrOf(b)} {
		if s != "" {
			out.Title += " " + s
		}
	}
	if b.Holder != nil {
		out.Title += ": " + who(b.Allocation()) + ", for " + age(now, b.Holder.Since)
	}
	if !b.Announced && b.Kind.Groups != "" {
		out.Title += "; groups " + short(strings.Join(b.Kind.List(), ", "))
	}
	out.Doubt = b.Holder != nil && b.Note != ""
	if b.Note != "" {
		out.Title += "; " + short(b.Note)
	}
	return out
}

func addrOf(b trunking.Shown) string {
	if !b.Addr.IsValid() {
		return ""
	}
	return b.Addr.String()
}
