package branch

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// lastVLAN is the highest id that branches of our own get, the controller's: no
// instance type carries more branches.
const lastVLAN = 120

// Settings of a Book.
type Settings struct {
	Cooldown time.Duration // a branch rests after use
	Warm     int           // spare branches to keep for each kind that is in use
}

// Book has all branches of the node's trunk.
type Book struct {
	Settings
	limit  int // branches that the trunk carries
	all    map[string]*Branch
	vlans  map[int]time.Time  // when an id was last given up
	others map[int]string     // ids on the trunk that no record has, and the ENI there
	used   map[Kind]time.Time // when a pod last had or wanted one of the kind
	gone   map[string]time.Time
}

// NewBook is an empty one.
func NewBook(s Settings) *Book {
	return &Book{
		Settings: s, all: map[string]*Branch{}, vlans: map[int]time.Time{}, others: map[int]string{}, used: map[Kind]time.Time{},
		gone: map[string]time.Time{},
	}
}

// SetLimit says how many branches EC2 allows on the trunk.
func (b *Book) SetLimit(n int) { b.limit = n }

// Limit is what SetLimit said.
func (b *Book) Limit() int { return b.limit }

// Restore puts back what was on disk.
func (b *Book) Restore(records []Branch, vlans map[int]time.Time, now time.Time) {
	for _, r := range records {
		if r.Freed.After(now) {
			r.Freed = now // nothing was released in the future: at worst it rests once more
		}
		b.all[r.Key] = &r
		if !r.Announced {
			b.used[r.Kind] = now
		}
	}
	maps.Copy(b.vlans, vlans)
}

// All lists the branches by VLAN id.
func (b *Book) All() []Branch {
	out := make([]Branch, 0, len(b.all))
	for _, r := range b.all {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(x, y Branch) int { return cmp.Or(cmp.Compare(x.VLAN, y.VLAN), strings.Compare(x.Key, y.Key)) })
	return out
}

// Get is the record of a key.
func (b *Book) Get(key string) (Branch, bool) {
	if r, ok := b.all[key]; ok {
		return *r, true
	}
	return Branch{}, false
}

// Put replaces a record that is there.
func (b *Book) Put(r Branch) {
	if _, ok := b.all[r.Key]; ok {
		b.all[r.Key] = &r
	}
}

// Held is the branch that an attachment has.
func (b *Book) Held(a vpcnet.Attachment) (Branch, bool) {
	for _, r := range b.all {
		if r.Holder != nil && r.Holder.Attachment == a {
			return *r, true
		}
	}
	return Branch{}, false
}

// Want notes that a pod asks for the kind: its stock is kept from now on.
func (b *Book) Want(k Kind, now time.Time) { b.used[k] = now }

// Unwant ends the keeping of a stock: EC2 refuses the kind.
func (b *Book) Unwant(k Kind) { delete(b.used, k) }

// Take gives the attachment a warm branch of the kind, the one that was free for longest.
func (b *Book) Take(h Holder, k Kind) (Branch, bool) {
	var best *Branch
	for _, r := range b.all {
		if r.Kind == k && b.free(r) && !b.rests(r, h.Since) && (best == nil || r.Freed.Before(best.Freed)) {
			best = r
		}
	}
	if best == nil {
		return Branch{}, false
	}
	best.Holder = &h
	b.used[k] = h.Since
	return *best, true
}

// free tells that the branch is there and nobody's, be it that it rests.
func (b *Book) free(r *Branch) bool {
	return r.Step == Ready && r.Holder == nil && !r.Announced && r.Doubt == ""
}

func (b *Book) rests(r *Branch, now time.Time) bool {
	// A clock that jumped back must not let a branch rest for ever.
	return r.Used && now.Sub(r.Freed) < b.Cooldown && !r.Freed.After(now)
}

// Undo takes back a Take that could not be recorded.
func (b *Book) Undo(key string) {
	if r, ok := b.all[key]; ok {
		r.Holder = nil
	}
}

// Announce gives the attachment the branch that was announced for it. An older
// holder of the branch, or of the VLAN id, is over: the controller gives a
// branch to one pod at a time, and an id again only after its branch is gone.
func (b *Book) Announce(h Holder, a Announcement, trunk string) (r Branch, over []Branch, err error) {
	for _, o := range b.all {
		switch {
		case o.VLAN != a.VLAN && o.ENI != a.ENI:
		case !o.Announced:
			return Branch{}, nil, fmt.Errorf("VLAN id %d of %s is that of %s, which vpc-ipamd made: let either the VPC resource controller or vpc-ipamd make branch ENIs", a.VLAN, a.ENI, o.ENI)
		default:
			over = append(over, *o)
		}
	}
	for _, o := range over {
		delete(b.all, o.Key)
	}
	r = Branch{
		Key: "announced " + h.Attachment.Alias(), Announced: true, Step: Ready, ENI: a.ENI, MAC: a.MAC, Addr: a.Addr, Subnet: a.Subnet,
		Trunk: trunk, VLAN: a.VLAN, Begun: h.Since, Changed: h.Since, Holder: &h,
	}
	b.all[r.Key] = &r
	return r, over, nil
}

// Release ends what the attachment holds. One that was made here rests from now
// on, an announced one is forgotten: its controller ends it.
func (b *Book) Release(a vpcnet.Attachment, now time.Time) (Branch, bool) {
	r, ok := b.Held(a)
	if !ok {
		return Branch{}, false
	}
	if r.Announced {
		delete(b.all, r.Key)
		return r, true
	}
	r.Holder, r.Freed, r.Used = nil, now, true
	if r.lost() {
		r.end()
	}
	b.all[r.Key], b.used[r.Kind] = &r, now
	return r, true
}

// Reasons why no branch can be begun.
var (
	ErrFull   = errors.New("the trunk carries no more branch ENIs")
	ErrNoVLAN = errors.New("no VLAN id is free")
)

// Begin is a new record with a VLAN id: the intent to make a branch. The spec
// needs no tags of VLAN and trunk.
func (b *Book) Begin(key string, k Kind, trunk string, spec eni.CreateSpec, now time.Time) (Branch, error) {
	if len(b.all) >= b.limit {
		return Branch{}, fmt.Errorf("%w than %d", ErrFull, b.limit)
	}
	vlan, ok := b.pickVLAN()
	if !ok {
		return Branch{}, fmt.Errorf("%w of 1 to %d", ErrNoVLAN, lastVLAN)
	}
	spec.SubnetID, spec.Groups, spec.ClientToken, spec.Type = k.Subnet, k.List(), key, eni.TypeBranch
	spec.Tags = maps.Clone(spec.Tags)
	if spec.Tags == nil {
		spec.Tags = map[string]string{}
	}
	spec.Tags[TagVLAN], spec.Tags[TagTrunk] = fmt.Sprint(vlan), trunk
	r := &Branch{Key: key, Step: Creating, Spec: spec, Kind: k, Trunk: trunk, VLAN: vlan, Begun: now, Changed: now}
	b.all[key] = r
	return *r, nil
}

// pickVLAN is the id that was given up longest ago, among equals the lowest.
func (b *Book) pickVLAN() (int, bool) {
	taken := map[int]bool{}
	for _, r := range b.all {
		taken[r.VLAN] = true
	}
	best := 0
	for id := 1; id <= lastVLAN; id++ {
		if _, other := b.others[id]; !taken[id] && !other && (best == 0 || b.vlans[id].Before(b.vlans[best])) {
			best = id
		}
	}
	return best, best > 0
}

// Drop ends a record: EC2 has nothing of it any more. Its VLAN id is the last
// to be given again.
func (b *Book) Drop(key string, now time.Time) {
	r, ok := b.all[key]
	if !ok {
		return
	}
	delete(b.all, key)
	if r.Announced {
		return
	}
	b.vlans[r.VLAN] = now
	if r.ENI != "" {
		b.gone[r.ENI] = now
	}
}

// Forget takes back a Begin of which EC2 has nothing: its VLAN id was not used.
func (b *Book) Forget(key string) { delete(b.all, key) }

// Allocations lists what is held.
func (b *Book) Allocations() []pool.Allocation {
	var out []pool.Allocation
	for _, r := range b.all {
		if r.Holder != nil {
			out = append(out, r.Allocation())
		}
	}
	return out
}
