package branch

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

const (
	// After is how long after an answer of EC2 that lacks something a second one
	// counts: longer than EC2 lags.
	After = 30 * time.Second
	// tokenLife is how long EC2 surely knows a ClientToken. After it a create
	// that was applied is long visible to a Describe.
	tokenLife = 30 * time.Minute
	// tombstone is how long an ENI that was deleted is not taken for a new one.
	tombstone = 10 * time.Minute
)

// Seen is what EC2 says: the branch ENIs of this instance, and the associations
// of its trunk.
type Seen struct {
	Branches     []eni.ENI
	Associations []eni.Association
}

// Traces are what the kernel shows of pods when the books are new.
type Traces struct {
	Holders map[netip.Addr]Holder
	Notes   map[netip.Addr]string // in use by somebody who is not known
}

// Heard is what an answer changed.
type Heard struct {
	Changed []Branch // to be written down
	Gone    []Branch // to be forgotten
	Notes   []string // for people
	// Unnamed: what nobody has was left alone, since it may be what a create whose
	// answer is missing has made.
	Unnamed bool
}

// Hear takes EC2's answer. It finds out how calls without an answer went, which
// VLAN ids others have on the trunk, and what of ours is missing; that is
// believed after a second answer. Branches that no record has are of a daemon
// whose books were lost: with fresh books they are taken up by what the kernel
// shows, else they go.
func (b *Book) Hear(s Seen, fresh *Traces, trunk string, now time.Time) Heard {
	v := view{enis: map[string]eni.ENI{}, by: map[string]eni.Association{}}
	for _, e := range s.Branches {
		v.enis[e.ID] = e
	}
	known := map[string]bool{}
	for _, r := range b.all {
		known[r.ENI] = true
	}
	b.others = map[int]string{}
	for _, a := range s.Associations {
		v.by[a.Branch] = a
		_, mine := v.enis[a.Branch]
		_, dead := b.gone[a.Branch]
		if a.Trunk == trunk && !known[a.Branch] && !mine && !dead {
			b.others[a.VLAN] = a.Branch
		}
	}
	var out Heard
	for _, r := range b.All() {
		if !r.Announced {
			b.hearOf(r, v, now, &out)
		}
	}
	b.adopt(s.Branches, v, fresh, now, &out)
	return out
}

// view is an answer, by ENI id.
type view struct {
	enis map[string]eni.ENI
	by   map[string]eni.Association
}

func (b *Book) hearOf(r Branch, v view, now time.Time, out *Heard) {
	was := r
	_, listed := v.enis[r.ENI]
	a, associated := v.by[r.ENI]
	associated = associated && a.Trunk == r.Trunk
	switch r.Step {
	case Creating:
		if r.ENI == "" && now.Sub(r.Begun) > tokenLife {
			b.Drop(r.Key, now)
			out.Gone = append(out.Gone, r)
			return
		}
	case Associating:
		b.hearAssociating(&r, a, associated, listed, now)
	case Ready:
		b.hearReady(&r, listed && associated, now, out)
		if associated {
			r.Association = a.ID
		}
	default:
		hearEnding(&r, a, associated, now)
	}
	b.all[r.Key] = &r
	if r.Step != was.Step || r.VLAN != was.VLAN || r.Association != was.Association {
		out.Changed = append(out.Changed, r)
	}
}

// hearEnding finds the association of a branch that ends.
func hearEnding(r *Branch, a eni.Association, associated bool, now time.Time) {
	switch {
	case r.Step == Leaving && !associated && r.Association == "":
		r.Step = Deleting
	case r.Step == Leaving && r.Association == "":
		r.Association = a.ID
	case r.Step == Deleting && associated && now.Sub(r.Changed) > unseen:
		r.Step, r.Association = Leaving, a.ID
	}
}

func (b *Book) hearAssociating(r *Branch, a eni.Association, associated, listed bool, now time.Time) {
	other, taken := b.others[r.VLAN]
	switch {
	case associated:
		r.Step, r.Association, r.VLAN, r.Freed = Ready, a.ID, a.VLAN, now
	case taken && other != r.ENI:
		if id, ok := b.pickVLAN(); ok {
			r.VLAN = id
		}
	case !listed && now.Sub(r.Begun) > 2*After:
		r.Step = Deleting
	}
}

func (b *Book) hearReady(r *Branch, there bool, now time.Time, out *Heard) {
	switch {
	case there && !r.missing.IsZero():
		r.missing, r.Doubt = time.Time{}, ""
	case there || now.Sub(r.Changed) < unseen:
	case r.missing.IsZero():
		r.missing, r.Doubt = now, "EC2 does not list its association with the trunk; asking again"
	case now.Sub(r.missing) < After:
	case r.Holder == nil:
		r.end()
	case !r.lost():
		r.Doubt = lostText + ": delete the pod, so that it gets another one"
		out.Notes = append(out.Notes, fmt.Sprintf("%s of %s: %s", r.ENI, r.Holder.Attachment, r.Doubt))
	}
}

const lostText = "its branch ENI is on the trunk no more"

func (r *Branch) lost() bool { return strings.HasPrefix(r.Doubt, lostText) }

// end begins the end of a branch of which it is not known whether it hangs on
// anything: EC2 is asked.
func (r *Branch) end() { r.Step, r.Association, r.missing, r.Doubt = Leaving, "", time.Time{}, "" }

// adopt takes up branches of this instance that no record has.
func (b *Book) adopt(list []eni.ENI, v view, fresh *Traces, now time.Time, out *Heard) {
	known, unnamed := map[string]bool{}, false
	for _, r := range b.all {
		unnamed = unnamed || r.Step == Creating && r.ENI == ""
		known[r.ENI] = true
	}
	for _, e := range list {
		if at, dead := b.gone[e.ID]; known[e.ID] || dead && now.Sub(at) < tombstone || !strings.HasPrefix(e.Description, descriptionPrefix) {
			continue
		}
		if unnamed {
			out.Unnamed = true
			return
		}
		a, associated := v.by[e.ID]
		r := Branch{
			Key: "found " + e.ID, Step: Deleting, Kind: KindOf(e.SubnetID, e.Groups), ENI: e.ID, MAC: e.MAC, Addr: e.Primary, Subnet: e.Subnet,
			Trunk: e.Tags[TagTrunk], Begun: now, Changed: now, Freed: now, Used: true,
		}
		if associated {
			r.Step, r.Association, r.VLAN, r.Trunk = Leaving, a.ID, a.VLAN, a.Trunk
		}
		if associated && fresh != nil {
			r.Step = Ready
			b.used[r.Kind] = now
			fresh.claim(&r, now)
		}
		b.all[r.Key] = &r
		out.Changed = append(out.Changed, r)
		out.Notes = append(out.Notes, fmt.Sprintf("found branch ENI %s of this instance, which the books do not have", e.ID))
	}
}

// claim gives a branch back to the pod that has its address. One that nobody
// shows may be one that EC2 has ended and still lists: a second answer tells.
func (t *Traces) claim(r *Branch, now time.Time) {
	if h, ok := t.Holders[r.Addr]; ok {
		r.Holder = &h
		return
	}
	r.missing, r.Doubt = now, "found in EC2 after the books were lost; asking again"
	if note := t.Notes[r.Addr]; note != "" {
		r.missing, r.Doubt = time.Time{}, note
	}
}

// Again is when EC2 is to be asked a second time; zero: not.
func (b *Book) Again() time.Time {
	var at time.Time
	for _, r := range b.all {
		if !r.missing.IsZero() && !r.lost() {
			if t := r.missing.Add(After); at.IsZero() || t.Before(at) {
				at = t
			}
		}
	}
	return at
}

// Unsettled tells that only EC2 knows how a call went: an association was
// neither granted nor refused for good, or its id is not known.
func (b *Book) Unsettled(now time.Time) bool {
	for _, r := range b.all {
		if r.Step == Leaving && r.Association == "" && !b.tooNew(r, now) || r.Step == Creating && now.Sub(r.Begun) > tokenLife {
			return true
		}
	}
	return false
}

// Resolve lets go of branches in doubt whose address the kernel does not use any
// more; they rest from now on.
func (b *Book) Resolve(uses map[netip.Addr]bool, now time.Time) (out []Branch) {
	for _, r := range b.all {
		if r.Doubt != "" && r.missing.IsZero() && r.Holder == nil && !uses[r.Addr] {
			r.Doubt, r.Freed, r.Used = "", now, true
			out = append(out, *r)
		}
	}
	return out
}

// Moved ends what hangs on another trunk than the node's.
func (b *Book) Moved(trunk string) (out []Branch) {
	for _, r := range b.all {
		switch {
		case r.Trunk == trunk || r.Trunk == "":
		case r.Announced, r.Holder != nil:
			r.Doubt = lostText + ": delete the pod, so that it gets another one"
		case r.Step == Ready || r.Step == Associating:
			r.end()
			out = append(out, *r)
		}
	}
	return out
}

// Uses are the addresses that a pod has.
func (t Traces) Uses() map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	for a := range t.Holders {
		out[a] = true
	}
	for a := range t.Notes {
		out[a] = true
	}
	return out
}
