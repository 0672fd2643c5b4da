package trunking_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// fakeEC2 is EC2 as far as branches go: tokens, limits, VLAN ids that are unique
// on a trunk, ENIs that are not known at once, Describe that shows late, and
// calls that fail before or after their effect.
type fakeEC2 struct {
	mu     sync.Mutex
	random *rand.Rand
	limit  int
	serial int
	enis   map[string]*fakeENI
	assocs map[string]*fakeAssociation
	tokens map[string]string
	calls  int

	newDelay, changeDelay time.Duration
	refuse, lose          float64 // probabilities per call
}

type fakeENI struct {
	eni.ENI
	made, gone time.Time
}

type fakeAssociation struct {
	eni.Association
	made, gone time.Time
}

func newFakeEC2(random *rand.Rand, limit int) *fakeEC2 {
	return &fakeEC2{
		random: random, limit: limit, enis: map[string]*fakeENI{}, assocs: map[string]*fakeAssociation{}, tokens: map[string]string{},
	}
}

var errRefused = fmt.Errorf("RequestLimitExceeded: %w", eni.ErrThrottled)

// call lets effect happen, unless the call is refused; its answer may get lost,
// and who asked may be dead by then.
func (f *fakeEC2) call(ctx context.Context, effect func(now time.Time) error) error {
	f.mu.Lock()
	f.calls++
	took := time.Duration(f.random.Int64N(int64(time.Second)))
	refused, lost := f.random.Float64() < f.refuse, f.random.Float64() < f.lose
	unsent := lost && f.random.IntN(2) == 0
	f.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		time.Sleep(took / 2)
		f.mu.Lock()
		err := errRefused
		if !refused && !unsent {
			err = effect(time.Now())
		}
		f.mu.Unlock()
		time.Sleep(took / 2)
		if lost {
			err = fmt.Errorf("connection reset: %w", eni.ErrNoAnswer)
		}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errors.Join(eni.ErrNoAnswer, ctx.Err())
	}
}

func (f *fakeEC2) id(prefix string) string {
	f.serial++
	return fmt.Sprintf("%s%d", prefix, f.serial)
}

func (f *fakeEC2) Create(ctx context.Context, spec eni.CreateSpec) (eni.ENI, error) {
	var out eni.ENI // of who has given up nobody reads it
	err := f.call(ctx, func(now time.Time) error {
		if id, ok := f.tokens[spec.ClientToken]; ok {
			out = f.enis[id].ENI
			return nil
		}
		if slices.Contains(spec.Groups, "sg-none") {
			return eni.ErrBadGroups
		}
		id := f.id("eni-")
		addr := netip.AddrFrom4([4]byte{10, 0, byte(f.serial >> 8), byte(f.serial)})
		e := &fakeENI{made: now, ENI: eni.ENI{
			ID: id, MAC: fmt.Sprintf("02:00:00:00:%02x:%02x", f.serial>>8, f.serial&255), SubnetID: spec.SubnetID, Subnet: netip.MustParsePrefix("10.0.0.0/16"),
			Primary: addr, Groups: spec.Groups, Tags: spec.Tags, Description: spec.Description, Type: spec.Type,
		}}
		f.enis[id], f.tokens[spec.ClientToken] = e, id
		out = e.ENI
		return nil
	})
	if err != nil {
		return eni.ENI{}, err
	}
	return out, nil
}

func (f *fakeEC2) Associate(ctx context.Context, a eni.Association, token string) (string, error) {
	id := ""
	err := f.call(ctx, func(now time.Time) error {
		if done, ok := f.tokens[token]; ok {
			if !f.assocs[done].gone.IsZero() {
				return eni.ErrNotFound
			}
			id = done
			return nil
		}
		e := f.enis[a.Branch]
		n := 0
		for _, o := range f.assocs {
			switch {
			case !o.gone.IsZero():
				continue
			case o.VLAN == a.VLAN:
				return fmt.Errorf("VLAN %d is in use", a.VLAN)
			case o.Branch == a.Branch:
				return eni.ErrInUse
			}
			n++
		}
		switch {
		case e == nil || !e.gone.IsZero() || now.Sub(e.made) < f.newDelay:
			return eni.ErrNotFound
		case n >= f.limit:
			return errors.New("the trunk is full")
		}
		a.ID = f.id("assoc-")
		f.assocs[a.ID], f.tokens[token] = &fakeAssociation{Association: a, made: now}, a.ID
		id = a.ID
		return nil
	})
	if err != nil {
		return "", err
	}
	return id, nil
}

func (f *fakeEC2) Disassociate(ctx context.Context, id string) error {
	return f.call(ctx, func(now time.Time) error {
		if a := f.assocs[id]; a != nil && a.gone.IsZero() {
			a.gone = now
		}
		return nil
	})
}

func (f *fakeEC2) DeleteBranch(ctx context.Context, id string) error {
	return f.call(ctx, func(now time.Time) error {
		e := f.enis[id]
		if e == nil || now.Sub(e.made) < f.newDelay {
			return nil // not found, as far as EC2 knows
		}
		for _, a := range f.assocs {
			if a.Branch == id && a.gone.IsZero() {
				return eni.ErrInUse
			}
		}
		if e.gone.IsZero() {
			e.gone = now
		}
		return nil
	})
}

func (f *fakeEC2) Branches(ctx context.Context) ([]eni.ENI, []eni.Association, error) {
	var enis []eni.ENI
	var assocs []eni.Association
	err := f.call(ctx, func(now time.Time) error {
		shown := func(made, gone time.Time) bool {
			return now.Sub(made) >= f.changeDelay && (gone.IsZero() || now.Sub(gone) < f.changeDelay)
		}
		for _, e := range f.enis {
			if shown(e.made, e.gone) {
				enis = append(enis, e.ENI)
			}
		}
		for _, a := range f.assocs {
			if shown(a.made, a.gone) {
				assocs = append(assocs, a.Association)
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return enis, assocs, nil
}

// there are the ENIs and associations that exist.
func (f *fakeEC2) there() (enis map[string]eni.ENI, assocs map[string]eni.Association) {
	f.mu.Lock()
	defer f.mu.Unlock()
	enis, assocs = map[string]eni.ENI{}, map[string]eni.Association{}
	for id, e := range f.enis {
		if e.gone.IsZero() {
			enis[id] = e.ENI
		}
	}
	for _, a := range f.assocs {
		if a.gone.IsZero() {
			assocs[a.Branch] = a.Association
		}
	}
	return enis, assocs
}

// intrude puts an ENI of somebody else on the trunk; withdraw takes those away.
func (f *fakeEC2) intrude(vlan int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.assocs {
		if a.VLAN == vlan && a.gone.IsZero() {
			return
		}
	}
	id := f.id("assoc-")
	f.assocs[id] = &fakeAssociation{Association: eni.Association{ID: id, Trunk: "eni-trunk", Branch: f.id("eni-other-"), VLAN: vlan}, made: time.Now()}
}

func (f *fakeEC2) withdraw() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.assocs {
		if f.enis[a.Branch] == nil && a.gone.IsZero() {
			a.gone = time.Now()
		}
	}
}
