package state

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
)

const (
	branchBucket = "branches" // key -> branchRecord
	vlanBucket   = "vlans"    // VLAN id, two bytes -> when it was given up
	completeKey  = "branches" // in originBucket: every branch of the node is in the file
)

// branchRecord is a branch, and when it was freed by both clocks.
type branchRecord struct {
	branch.Branch
	Stamp []byte `json:"stamp"`
}

// Branches are the records of branch ENIs, when each VLAN id was given up, and
// whether the file is new to them.
func (s *Store) Branches() (records []branch.Branch, vlans map[int]time.Time, fresh bool, err error) {
	vlans, fresh = map[int]time.Time{}, true
	err = s.db.View(func(tx *bbolt.Tx) error {
		if b := tx.Bucket([]byte(originBucket)); b != nil {
			fresh = b.Get([]byte(completeKey)) == nil
		}
		if b := tx.Bucket([]byte(branchBucket)); b != nil {
			if err := b.ForEach(func(k, v []byte) error {
				r := branchRecord{}
				if err := json.Unmarshal(v, &r); err != nil {
					return fmt.Errorf("branch %s: %w", k, err)
				}
				at, err := s.clock.time(r.Stamp)
				if err != nil {
					return fmt.Errorf("branch %s: %w", k, err)
				}
				r.Freed = at
				records = append(records, r.Branch)
				return nil
			}); err != nil {
				return err
			}
		}
		b := tx.Bucket([]byte(vlanBucket))
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			at, err := s.clock.time(v)
			if err != nil || len(k) != 2 {
				return fmt.Errorf("VLAN id %x: %w", k, err)
			}
			vlans[int(binary.BigEndian.Uint16(k))] = at
			return nil
		})
	})
	if err != nil {
		return nil, nil, false, fmt.Errorf("reading the state: %w", err)
	}
	return records, vlans, fresh, nil
}

// PutBranches records branches, all or none.
func (s *Store) PutBranches(records ...branch.Branch) error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte(branchBucket))
		if err != nil {
			return err
		}
		for _, r := range records {
			stamp, err := s.clock.stamp(r.Freed)
			if err != nil {
				return err
			}
			raw, err := json.Marshal(branchRecord{r, stamp})
			if err != nil {
				return err
			}
			if err := b.Put([]byte(r.Key), raw); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("recording branch ENIs in the state file: %w%s", err, nextStep(err))
	}
	return nil
}

// DropBranches forgets records, all or none. The VLAN ids of those that were
// made here are given up at the time.
func (s *Store) DropBranches(at time.Time, records ...branch.Branch) error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte(branchBucket))
		if err != nil {
			return err
		}
		vlans, err := tx.CreateBucketIfNotExists([]byte(vlanBucket))
		if err != nil {
			return err
		}
		stamp, err := s.clock.stamp(at)
		if err != nil {
			return err
		}
		for _, r := range records {
			if err := b.Delete([]byte(r.Key)); err != nil {
				return err
			}
			if r.VLAN == 0 || r.Announced {
				continue
			}
			if err := vlans.Put(binary.BigEndian.AppendUint16(nil, uint16(r.VLAN)), stamp); err != nil { //nolint:gosec // at most 4094
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("clearing branch ENIs from the state file: %w%s", err, nextStep(err))
	}
	return nil
}

// BranchesComplete records that the file has every branch of the node.
func (s *Store) BranchesComplete() error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte(originBucket))
		if err != nil {
			return err
		}
		return b.Put([]byte(completeKey), []byte("1"))
	})
	if err != nil {
		return fmt.Errorf("recording in the state file that the branch ENIs are complete: %w%s", err, nextStep(err))
	}
	return nil
}
