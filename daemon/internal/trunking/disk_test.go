package trunking_test

import (
	"encoding/json"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
)

// disk is the state file: what survives the process. It may be full.
type disk struct {
	mu       sync.Mutex
	records  map[string][]byte
	vlans    map[int]time.Time
	complete bool
	full     bool
}

func newDisk() *disk { return &disk{records: map[string][]byte{}, vlans: map[int]time.Time{}} }

var errFull = errors.New("no space left on device")

// mount is the disk of one life: after its end nothing is written any more.
type mount struct {
	*disk
	dead *bool
}

func (d mount) write(change func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full || *d.dead {
		return errFull
	}
	change()
	return nil
}

func (d mount) Branches() (out []branch.Branch, vlans map[int]time.Time, fresh bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, raw := range d.records {
		var r branch.Branch
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, nil, false, err
		}
		out = append(out, r)
	}
	return out, maps.Clone(d.vlans), !d.complete, nil
}

func (d mount) PutBranches(records ...branch.Branch) error {
	return d.write(func() {
		for _, r := range records {
			raw, err := json.Marshal(r)
			if err != nil {
				panic(err)
			}
			d.records[r.Key] = raw
		}
	})
}

func (d mount) DropBranches(at time.Time, records ...branch.Branch) error {
	return d.write(func() {
		for _, r := range records {
			delete(d.records, r.Key)
			if r.VLAN > 0 && !r.Announced {
				d.vlans[r.VLAN] = at
			}
		}
	})
}

func (d mount) BranchesComplete() error { return d.write(func() { d.complete = true }) }
