package placement

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// Both are the ENIConfigs of two sources. A name that they give differently is
// nobody's: which of them is meant only an operator knows.
type Both struct {
	Directory  Configs
	Kubernetes Configs
}

// Get is the ENIConfig of the name.
func (b Both) Get(name string) (ENIConfig, bool) {
	d, inDir := b.Directory.Get(name)
	k, inKube := b.Kubernetes.Get(name)
	switch {
	case inDir && inKube && !reflect.DeepEqual(d, k):
		return ENIConfig{}, false
	case inDir:
		return d, true
	}
	return k, inKube
}

// Names are those that can be used, sorted.
func (b Both) Names() []string {
	all := slices.Concat(b.Directory.Names(), b.Kubernetes.Names())
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(name string) bool {
		_, ok := b.Get(name)
		return !ok
	})
}

// Trouble says what is wrong with either, and what they contradict each other in.
func (b Both) Trouble() error {
	errs := []error{b.Directory.Trouble(), b.Kubernetes.Trouble()}
	for _, name := range b.Directory.Names() {
		_, inKube := b.Kubernetes.Get(name)
		if _, ok := b.Get(name); inKube && !ok {
			errs = append(errs, fmt.Errorf("the ENIConfig %s is one thing in Kubernetes and another in the directory: remove the file", name))
		}
	}
	return errors.Join(errs...)
}

// Changes has a value after something changed: the directory is told when
// Kubernetes says something else.
func (b Both) Changes() <-chan struct{} { return b.Directory.Changes() }
