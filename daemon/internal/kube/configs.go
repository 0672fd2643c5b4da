package kube

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/vpcchain/vpcchain/daemon/internal/placement"
)

// configs are the ENIConfigs that can be used, and why others cannot.
type configs struct {
	list    map[string]placement.ENIConfig
	trouble string
}

func parse(specs map[string]string) configs {
	c := configs{list: map[string]placement.ENIConfig{}}
	var troubles []string
	for _, name := range slices.Sorted(maps.Keys(specs)) {
		conf, err := placement.ParseSpec(name, []byte(specs[name]))
		if err != nil {
			troubles = append(troubles, "ENIConfig of Kubernetes: "+err.Error())
			continue
		}
		c.list[name] = conf
	}
	c.trouble = strings.Join(troubles, "; ")
	return c
}

func (c configs) names() []string { return slices.Sorted(maps.Keys(c.list)) }

// Get is the ENIConfig of the name.
func (k *Keeper) Get(name string) (placement.ENIConfig, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c, ok := k.configs.list[name]
	return c, ok
}

// Names are the ENIConfigs that can be used, sorted.
func (k *Keeper) Names() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.configs.names()
}

// Trouble says which ENIConfigs cannot be used.
func (k *Keeper) Trouble() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.configs.trouble == "" {
		return nil
	}
	return errors.New(k.configs.trouble)
}
