package engine

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/daemon/internal/trunking"
	"github.com/vpcchain/vpcchain/pkg/sgpp"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Branches are what the engine gives branch ENIs with. Without BranchENIs it
// gives none.
type Branches struct {
	BranchENIs  trunking.EC2
	BranchStore trunking.Store
	BranchHost  BranchHost // nil: the kernel is left alone
	Witnesses   Witnesses  // nil: lost books are found again in EC2 alone
}

// BranchHost repairs what vpc-sgpp makes in the kernel.
type BranchHost interface {
	Heal(want []sgpp.Branch, n sgpp.Node) (changed []string, err error)
}

// Witnesses shows the traces of pods in the kernel.
type Witnesses interface {
	Witnesses(ctx context.Context) ([]hostnet.Witness, error)
}

// AssignBranch gives the attachment the branch ENI that the pod's annotations
// ask for, the same again if it holds it. It waits for one until ctx ends.
func (e *Engine) AssignBranch(ctx context.Context, a vpcnet.Attachment, pod pool.Pod, annotations map[string]string) (trunking.Given, error) {
	if e.branches == nil {
		return trunking.Given{}, fmt.Errorf("%w: pod %s/%s asks for security groups of its own, which this node does not serve: set ENABLE_POD_ENI=true for vpc-ipamd, or take the annotations away",
			branch.ErrBadWish, pod.Namespace, pod.Name)
	}
	w, err := branch.ParseWish(annotations)
	if err != nil {
		return trunking.Given{}, fmt.Errorf("pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	if err := e.enter(a); err != nil {
		return trunking.Given{}, err
	}
	began := time.Now()
	out, err := e.assignBranch(ctx, a, pod, w)
	e.leave(a, err == nil)
	e.tellFailure(pod, err)
	e.logAdd(ctx, a, pod, pool.Allocation{Addr: out.Addr, ENI: out.ENI}, began, err)
	return out, err
}

func (e *Engine) assignBranch(ctx context.Context, a vpcnet.Attachment, pod pool.Pod, w branch.Wish) (trunking.Given, error) {
	e.mu.Lock()
	h, held := e.pool.Held(a)
	e.mu.Unlock()
	if held {
		return trunking.Given{}, fmt.Errorf("%w: %s has %s of the pool already, and now asks for a branch ENI: DEL it first", branch.ErrBadWish, a, h.Addr)
	}
	ended := e.wait(ctx, "branch", "no branch ENI is ready")
	out, err := e.branches.Assign(ctx, a, pod, w)
	ended(err)
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("assigning to %s: %w", a, ctx.Err())
	}
	return out, err
}

// hasBranch is the branch of an attachment, if it has one.
func (e *Engine) hasBranch(a vpcnet.Attachment) (branch.Branch, bool) {
	if e.branches == nil {
		return branch.Branch{}, false
	}
	return e.branches.Find(a)
}

// allocation is what the attachment has, of whatever kind; the caller holds the lock.
func (e *Engine) allocation(a vpcnet.Attachment) (pool.Allocation, bool) {
	if b, ok := e.hasBranch(a); ok {
		return b.Allocation(), true
	}
	return e.pool.Held(a)
}

// holds tells whether the attachment has an address, of whatever kind; the
// caller holds the lock.
func (e *Engine) holds(a vpcnet.Attachment) bool {
	_, ok := e.allocation(a)
	return ok
}

// named is the attachment that holds something under the container's interface,
// which an admin may have renamed the network of; the caller holds the lock.
func (e *Engine) named(a vpcnet.Attachment) vpcnet.Attachment {
	if e.holds(a) {
		return a
	}
	if h, ok := e.pool.HeldBy(a.ContainerID, a.IfName); ok {
		return h.Attachment
	}
	for _, h := range e.branchAllocations() {
		if h.Attachment.ContainerID == a.ContainerID && h.Attachment.IfName == a.IfName {
			return h.Attachment
		}
	}
	return a
}

func (e *Engine) branchAllocations() []pool.Allocation {
	if e.branches == nil {
		return nil
	}
	return e.branches.Held()
}

// releaseBranch frees exactly this attachment's branch; the caller holds the lock.
func (e *Engine) releaseBranch(a vpcnet.Attachment) pool.Allocation {
	if e.branches == nil {
		return pool.Allocation{}
	}
	h, ok := e.branches.Release(a)
	if ok {
		e.released = append(e.released, h.Addr)
		e.logRelease(h)
		e.poke()
	}
	return h
}

// checkBranch verifies that the branch has the address and that its trunk works;
// the caller holds the lock.
func (e *Engine) checkBranch(b branch.Branch, a vpcnet.Attachment, addr string) error {
	m, ok := e.findTrunk(time.Now())
	switch l := e.links[m.ID]; {
	case b.Addr.String() != addr:
		return fmt.Errorf("%s holds %s, not %s", a, b.Addr, addr)
	case b.Doubt != "":
		return fmt.Errorf("%s holds %s of %s: %s", a, addr, b.ENI, b.Doubt)
	case !ok || m.ID != b.Trunk:
		return fmt.Errorf("%s holds %s, a VLAN of the trunk %s, which is not attached", a, addr, b.Trunk)
	case !l.Ready:
		return fmt.Errorf("%s holds %s, a VLAN of the trunk %s, which is not ready: %s", a, addr, b.Trunk, l.Reason)
	}
	return nil
}

// startBranches takes up the branches of before.
func (e *Engine) startBranches() error {
	if e.branches == nil {
		return nil
	}
	return e.branches.Start(e.limits.Branches)
}

// healBranches repairs the kernel's side of the branches that pods have.
func (e *Engine) healBranches() error {
	if e.branches == nil || e.BranchHost == nil {
		return nil
	}
	v := e.branches.View()
	if v.Trunk.ID == "" {
		return nil
	}
	var want []sgpp.Branch
	for _, b := range v.Branches {
		if b.Holder == nil {
			continue
		}
		want = append(want, sgpp.Branch{
			Attachment: b.Holder.Attachment, VLAN: b.VLAN, MAC: b.MAC, Addr: b.Addr, Gateway: vpcnet.Router(b.Subnet),
			HostVeth: e.hostVeth(b.Allocation()), Mode: e.Config.Enforcing,
		})
	}
	changed, err := e.BranchHost.Heal(want, sgpp.Node{TrunkMAC: v.Trunk.MAC, NodeIP: e.node.PrimaryIP})
	for _, what := range changed {
		e.Log.Info("repaired", "object", what)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(changed) > 0 {
		e.tally.Heals["branch"] += uint64(len(changed))
	}
	return err
}

// branchNode is the node as the branches need it.
type branchNode struct{ e *Engine }

// BranchPlace is the ENIConfig's subnet with custom networking, else the node's
// own, as with the VPC resource controller: a trunk and its branches are of one zone.
func (n branchNode) BranchPlace(ctx context.Context) (eni.Placement, error) {
	node := n.e.whoAmI()
	if !n.e.Config.CustomNet || n.e.Placement == nil {
		return eni.Placement{SubnetID: node.SubnetID}, nil
	}
	list, err := n.e.Placement.Places(ctx, node)
	if err != nil {
		return eni.Placement{}, err
	}
	return list[0], nil
}

// BranchSpec describes and tags a branch.
func (n branchNode) BranchSpec(now time.Time) eni.CreateSpec {
	return eni.CreateSpec{Description: branch.Description(n.e.node.InstanceID), Tags: n.e.tags(now)}
}

// BranchesChanged makes the loop look.
func (n branchNode) BranchesChanged() { n.e.poke() }

// Traces are the pods that the kernel shows, by address.
func (n branchNode) Traces(ctx context.Context) (branch.Traces, error) {
	out := branch.Traces{Holders: map[netip.Addr]branch.Holder{}, Notes: map[netip.Addr]string{}}
	if n.e.Witnesses == nil {
		return out, nil
	}
	list, err := n.e.Witnesses.Witnesses(ctx)
	if err != nil {
		return out, fmt.Errorf("looking for pods in the kernel: %w", err)
	}
	netns := map[netip.Addr]string{}
	for _, w := range list {
		switch {
		case !w.Addr.IsValid() || w.Rule:
		case w.Attachment != vpcnet.Attachment{}:
			out.Holders[w.Addr] = branch.Holder{Attachment: w.Attachment, Pod: pool.Pod{HostVeth: w.Link}, Since: time.Now()}
		case w.Netns != "":
			netns[w.Addr] = w.Netns
		default:
			out.Notes[w.Addr] = "link " + w.Link + " leads to it, whose pod is not known; free when the link is gone"
		}
	}
	for a, path := range netns {
		if h, ok := out.Holders[a]; ok {
			h.Pod.Netns = path
			out.Holders[a] = h
		} else {
			out.Notes[a] = "in use in network namespace " + path + " of a pod that is not in the books; free when the namespace is gone"
		}
	}
	return out, nil
}
