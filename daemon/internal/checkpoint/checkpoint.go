// Package checkpoint reads the allocations that the stock AWS VPC CNI's daemon
// keeps in /var/run/aws-node/ipam.json, so that a node can switch over with its
// pods running. It only reads: the file is the stock daemon's, and the way back
// to it stays open.
package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"time"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// DefaultPath is where the stock daemon writes it (AWS_VPC_K8S_CNI_BACKING_STORE).
const DefaultPath = "/var/run/aws-node/ipam.json"

// Version is the only format that there is.
const Version = "vpc-cni-ipam/1"

// network is the name of the stock conflist, for entries that carry none.
const network = "aws-cni"

// Names that the stock daemon gives to entries which it took over from before
// it had the attachment's own (its datastore package).
const (
	migratedNetwork = "_migrated-from-cri"
	migratedIfName  = "unknown"
)

// Entry is one allocation of the stock daemon.
type Entry struct {
	Attachment vpcnet.Attachment
	Addr       netip.Addr
	Namespace  string
	Name       string
	Since      time.Time
}

// String says who holds what.
func (e Entry) String() string {
	return fmt.Sprintf("%s of %s/%s (%s)", e.Addr, e.Namespace, e.Name, e.Attachment)
}

// file is the stock daemon's JSON.
type file struct {
	Version     string `json:"version"`
	Allocations []struct {
		NetworkName         string `json:"networkName"`
		ContainerID         string `json:"containerID"`
		IfName              string `json:"ifName"`
		IPv4                string `json:"ipv4"`
		IPv6                string `json:"ipv6"`
		AllocationTimestamp int64  `json:"allocationTimestamp"` // Unix time, ns
		Metadata            struct {
			Namespace string `json:"k8sPodNamespace"`
			Name      string `json:"k8sPodName"`
		} `json:"metadata"`
	} `json:"allocations"`
}

// Read reads the file at path; none is no entries. A non-empty rename is the
// network name of every entry, else each keeps its own.
func Read(path, rename string) ([]Entry, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the stock daemon's checkpoint: %w", err)
	}
	entries, err := Parse(raw, rename)
	if err != nil {
		return nil, fmt.Errorf("reading the stock daemon's checkpoint %s: %w", path, err)
	}
	return entries, nil
}

// Parse reads the content of the file. An entry without an IPv4 address is left
// out: this daemon gives none of another family. One that cannot be understood
// fails the whole: an address that was overlooked would be given out again.
func Parse(raw []byte, rename string) ([]Entry, error) {
	var f file
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, err
	}
	if f.Version != Version {
		return nil, fmt.Errorf("its version is %q: only %q is understood", f.Version, Version)
	}
	var out []Entry
	seen := map[netip.Addr]Entry{}
	for i, a := range f.Allocations {
		if a.IPv4 == "" {
			continue
		}
		e := Entry{
			Attachment: vpcnet.Attachment{Network: networkName(a.NetworkName, rename), ContainerID: a.ContainerID, IfName: a.IfName},
			Namespace:  a.Metadata.Namespace, Name: a.Metadata.Name, Since: time.Unix(0, a.AllocationTimestamp),
		}
		if e.Attachment.IfName == "" || e.Attachment.IfName == migratedIfName {
			e.Attachment.IfName = "eth0"
		}
		var err error
		if e.Addr, err = netip.ParseAddr(a.IPv4); err != nil || !e.Addr.Is4() {
			return nil, fmt.Errorf("entry %d: %q is not an IPv4 address", i, a.IPv4)
		}
		if _, ok := vpcnet.ParseAlias(e.Attachment.Alias()); !ok {
			return nil, fmt.Errorf("entry %d: %q names no attachment", i, e.Attachment)
		}
		if other, ok := seen[e.Addr]; ok {
			return nil, fmt.Errorf("entry %d: %s is held by %s already", i, e.Addr, other.Attachment)
		}
		seen[e.Addr] = e
		out = append(out, e)
	}
	return out, nil
}

func networkName(own, rename string) string {
	switch {
	case rename != "":
		return rename
	case own == "" || own == migratedNetwork:
		return network
	}
	return own
}
