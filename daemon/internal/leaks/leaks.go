// Package leaks finds ENIs of the cluster that nobody will use again: those of
// nodes that went while an ENI was attached to nothing.
//
// Every node looks once a day, at a moment that is drawn from its instance's id
// and the day: the day has 8640 slots of 10 s, and a slot belongs to the nodes
// that drew it. In a cluster of less than a hundred nodes that is hardly ever
// more than one; in a large one the calls are spread evenly, N a day instead of
// the stock CNI's 24·N, and a leaked ENI is found after 24 h / N on average. Two
// that meet in a slot do the same thing twice, which is harmless.
package leaks

import (
	"encoding/binary"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

const (
	day  = 24 * time.Hour
	slot = 10 * time.Second

	// minAge is how old an ENI must be to count as leaked: one that is younger may
	// be on its way to its instance. The stock CNI's value.
	minAge = 5 * time.Minute
)

// Next is when the instance looks for leaked ENIs next: after now, once a day,
// somewhere in its slot.
func Next(instanceID string, now time.Time) time.Time {
	today := now.UTC().Truncate(day)
	for at := today; ; at = at.Add(day) {
		h := fnv.New64a()
		_, _ = h.Write([]byte(instanceID))
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(at.Unix()))) //nolint:gosec // bits to hash
		sum := mix(h.Sum64())
		mine := at.Add(time.Duration(sum%uint64(day/slot)) * slot) //nolint:gosec // less than a day
		mine = mine.Add(time.Duration(sum >> 32 % uint64(slot)))   //nolint:gosec // less than 5 s
		if mine.After(now) {
			return mine
		}
	}
}

// mix spreads the bits of FNV, whose low ones depend on the last bytes alone.
func mix(x uint64) uint64 {
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// Of picks the leaked ones among ENIs that are attached to nothing: made by this
// CNI or the stock one, for an instance of this cluster, some minutes ago. What
// lacks one of the marks, or was kept by an operator, is somebody else's.
func Of(cluster string, available []eni.ENI, now time.Time) []eni.ENI {
	return slices.DeleteFunc(slices.Clone(available), func(e eni.ENI) bool {
		return cluster == "" || e.Tags[eni.TagCluster] != cluster || e.Tags[eni.TagInstance] == "" ||
			e.Tags[eni.TagNoManage] != "" || !strings.HasPrefix(e.Description, "aws-K8S-") ||
			e.AttachmentID != "" || e.Created.IsZero() || now.Sub(e.Created) < minAge
	})
}
