package sgpp

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Remove takes every branch of this project off the node and puts the state of
// strict mode back. Pods' host veths are taken for gone: the caller removes them,
// or wants their pods without a network. It says what it removes; with dry it
// only says, and takes no lock.
func (k *Keeper) Remove(dry bool) (removed []string, err error) {
	if !dry {
		unlock, err := k.lock(unix.LOCK_EX)
		if err != nil {
			return nil, err
		}
		defer unlock()
	}
	s, err := k.kernel.read(true)
	if err != nil {
		return nil, err
	}
	steps := planHeal(s.withoutPods(), nil, Node{})
	if !dry {
		return k.all(steps)
	}
	for _, st := range steps {
		removed = append(removed, st.String())
	}
	return removed, nil
}

// withoutPods is s without the host veths of pods.
func (s state) withoutPods() state {
	s.links = slices.DeleteFunc(slices.Clone(s.links), func(l link) bool {
		_, ours := vpcnet.ParseAlias(l.Alias)
		return ours && l.Kind == "veth"
	})
	return s
}
