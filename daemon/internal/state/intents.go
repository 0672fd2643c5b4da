package state

import (
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/vpcchain/vpcchain/daemon/internal/intent"
)

const intentBucket = "intents" // id -> intent.Intent

// Intents are those that were begun and not ended.
func (s *Store) Intents() ([]intent.Intent, error) {
	var out []intent.Intent
	err := s.db.View(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket([]byte(intentBucket))
		if bucket == nil {
			return nil // a file of an earlier version
		}
		return bucket.ForEach(func(k, v []byte) error {
			var in intent.Intent
			if err := unseal(string(k), v, &in); err != nil {
				return fmt.Errorf("intent %s: %w", k, err)
			}
			out = append(out, in)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading the state: %w", err)
	}
	return out, nil
}

// Intend records an intent, or how far it has come.
func (s *Store) Intend(in intent.Intent) error {
	raw, err := seal(in.ID, in)
	if err != nil {
		return fmt.Errorf("recording to %s: %w", in, err)
	}
	err = s.db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists([]byte(intentBucket))
		if err != nil {
			return err
		}
		return bucket.Put([]byte(in.ID), raw)
	})
	if err != nil {
		return fmt.Errorf("recording to %s: %w", in, err)
	}
	return nil
}

// Done clears an intent. One that is not there is a success.
func (s *Store) Done(id string) error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		if bucket := tx.Bucket([]byte(intentBucket)); bucket != nil {
			return bucket.Delete([]byte(id))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("clearing an intent: %w", err)
	}
	return nil
}
