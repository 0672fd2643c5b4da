package state

import (
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

const drainBucket = "draining" // ENI id -> since when no new pod goes there

// Draining are the ENIs that an operator drains, and since when.
func (s *Store) Draining() (map[string]time.Time, error) {
	out := map[string]time.Time{}
	err := s.db.View(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket([]byte(drainBucket))
		if bucket == nil {
			return nil // nobody has drained any, or a file of an earlier version
		}
		return bucket.ForEach(func(k, v []byte) error {
			at, err := s.clock.time(v)
			if err != nil {
				return fmt.Errorf("drain of %s: %w", k, err)
			}
			out[string(k)] = at
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading the state: %w", err)
	}
	return out, nil
}

// Drain records that no new pod goes on the ENI from at on.
func (s *Store) Drain(id string, at time.Time) error {
	stamp, err := s.clock.stamp(at)
	if err == nil {
		err = s.db.Update(func(tx *bbolt.Tx) error {
			bucket, err := tx.CreateBucketIfNotExists([]byte(drainBucket))
			if err != nil {
				return err
			}
			return bucket.Put([]byte(id), stamp)
		})
	}
	if err != nil {
		return fmt.Errorf("recording to drain %s: %w%s", id, err, nextStep(err))
	}
	return nil
}

// Undrain forgets it. An ENI that is not drained is a success.
func (s *Store) Undrain(id string) error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		if bucket := tx.Bucket([]byte(drainBucket)); bucket != nil {
			return bucket.Delete([]byte(id))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("recording that %s is not drained: %w%s", id, err, nextStep(err))
	}
	return nil
}
