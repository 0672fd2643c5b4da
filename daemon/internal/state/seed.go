package state

import (
	"fmt"
	"net/netip"
	"time"

	"go.etcd.io/bbolt"

	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// originBucket has one key once the file stands for what the node has; before,
// an empty file may as well be one that got lost.
const (
	originBucket = "origin"
	seededKey    = "seeded"
)

// Seeded tells whether the file has been filled from what was found on the
// node. One of an earlier version that holds anything counts as filled.
func (s *Store) Seeded() (bool, error) {
	seeded := false
	err := s.db.View(func(tx *bbolt.Tx) error {
		if b := tx.Bucket([]byte(originBucket)); b != nil {
			seeded = b.Get([]byte(seededKey)) != nil
		}
		for _, name := range []string{heldBucket, freedBucket} {
			if k, _ := tx.Bucket([]byte(name)).Cursor().First(); k != nil {
				seeded = true
			}
		}
		return nil
	})
	return seeded, err
}

// Seed fills the file with what was found: all of it or, on error, nothing.
func (s *Store) Seed(held []pool.Allocation, freed map[netip.Addr]time.Time) error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		for _, h := range held {
			if err := putHeld(tx, h); err != nil {
				return err
			}
		}
		for a, at := range freed {
			if err := s.putFreed(tx, a, at); err != nil {
				return err
			}
		}
		b, err := tx.CreateBucketIfNotExists([]byte(originBucket))
		if err != nil {
			return err
		}
		return b.Put([]byte(seededKey), []byte("1"))
	})
	if err != nil {
		return fmt.Errorf("recording what was found on the node in the state file: %w%s", err, nextStep(err))
	}
	return nil
}
