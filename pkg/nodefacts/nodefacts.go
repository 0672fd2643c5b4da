// Package nodefacts is the file through which vpc-ipamd tells the plugins what
// a node is: its primary address, link, MTU and VPC CIDRs. The daemon replaces
// the file atomically; plugins read it instead of calling anything. Every key
// can be given in the conflist instead, so a plugin also works with no daemon.
package nodefacts

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
)

// Dir is where the daemon and the plugins keep their runtime state. It is on
// tmpfs: void after a reboot, as the pods are.
const Dir = "/run/vpc-cni"

// DefaultPath is the node facts file.
const DefaultPath = Dir + "/node.json"

// Facts is the content of the file. A plugin must tolerate an absent key.
type Facts struct {
	InstanceID  string         `json:"instanceID"`
	PrimaryIP   netip.Addr     `json:"primaryIP"`
	PrimaryMAC  string         `json:"primaryMAC"`
	PrimaryLink string         `json:"primaryLink"`
	PrimaryMTU  int            `json:"primaryMTU"` // bytes
	VPCCIDRs    []netip.Prefix `json:"vpcCIDRs"`   // in IMDS order
	VethPrefix  string         `json:"vethPrefix"`
	// SNAT are the operator's settings of the outbound NAT, by their conflist names.
	SNAT map[string]string `json:"snat,omitempty"`
	// Trunk is the ENI whose VLANs are the branch ENIs; nil while the node has none.
	Trunk *Trunk `json:"trunk,omitempty"`
	// EnforcingMode says how security groups of pods apply: ModeStrict or
	// ModeStandard; empty where the daemon serves no branch ENIs.
	EnforcingMode string `json:"enforcingMode,omitempty"`
}

// The values of EnforcingMode, as POD_SECURITY_GROUP_ENFORCING_MODE has them.
const (
	ModeStrict   = "strict"
	ModeStandard = "standard"
)

// Trunk is found in the kernel by its MAC address: names of links change.
type Trunk struct {
	ENI string `json:"eni"`
	MAC string `json:"mac"`
}

// Read reads the file at path. The error is fs.ErrNotExist where no daemon has
// written one.
func Read(path string) (Facts, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Facts{}, err
	}
	var f Facts
	if err := json.Unmarshal(raw, &f); err != nil {
		return Facts{}, fmt.Errorf("parsing node facts %s: %w", path, err)
	}
	return f, nil
}

// Write replaces the file at path by rename, so that a reader sees the old
// content or the new, never a part. Its directory must exist.
func Write(path string, f Facts) error {
	raw, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding node facts: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".node-*.json")
	if err != nil {
		return fmt.Errorf("writing node facts: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(append(raw, '\n'))
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing node facts: %w", err)
	}
	return nil
}
