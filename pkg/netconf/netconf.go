// Package netconf reads what the runtime sends to a plugin: the configuration
// on standard input, the result of the plugins before, CNI_ARGS, the namespace.
// Unknown keys are allowed, as the CNI specification wants.
package netconf

import (
	"encoding/json"
	"errors"
	"io/fs"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/cnierr"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Decode reads the configuration into conf; a wrong type is the admin's mistake.
func Decode(stdin []byte, conf any) error {
	if err := json.Unmarshal(stdin, conf); err != nil {
		return cnierr.New(cnierr.Config, "reading the network configuration: %w", err)
	}
	return nil
}

// ErrNoPrevResult is a chained plugin that stands first.
var ErrNoPrevResult = errors.New("no prevResult: the plugin must stand behind one that gives an address, such as vpc-ipam, static or host-local")

// PrevResult is the result of the plugins before, whatever its version.
func PrevResult(stdin []byte) (*types100.Result, error) {
	var head struct {
		CNIVersion string          `json:"cniVersion"`
		Prev       json.RawMessage `json:"prevResult"`
	}
	if err := Decode(stdin, &head); err != nil {
		return nil, err
	}
	if head.Prev == nil || string(head.Prev) == "null" {
		return nil, cnierr.As(cnierr.Config, ErrNoPrevResult)
	}
	res, err := createResult(head.CNIVersion, head.Prev)
	if err != nil {
		return nil, cnierr.New(cnierr.Config, "reading prevResult: %w", err)
	}
	return res, nil
}

// Valid reads cni.dev/valid-attachments: those of the network that stay. An
// absent key is refused: it would mean that nothing is valid, and a runtime that
// forgets the key must not cost all pods their network. An empty list or null
// means it.
func Valid(stdin []byte, network string) ([]vpcnet.Attachment, error) {
	var keys map[string]json.RawMessage
	if err := Decode(stdin, &keys); err != nil {
		return nil, err
	}
	raw, ok := keys["cni.dev/valid-attachments"]
	if !ok {
		return nil, cnierr.New(cnierr.Config, "GC without cni.dev/valid-attachments: nothing was released; a runtime names the survivors, an empty list means none")
	}
	var list []types.GCAttachment
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, cnierr.New(cnierr.Config, "reading cni.dev/valid-attachments: %w", err)
	}
	valid := make([]vpcnet.Attachment, 0, len(list))
	for _, v := range list {
		valid = append(valid, vpcnet.Attachment{Network: network, ContainerID: v.ContainerID, IfName: v.IfName})
	}
	return valid, nil
}

// Pod is who the attachment is for; empty outside Kubernetes.
type Pod struct{ Namespace, Name, UID string }

// PodOf reads K8S_POD_* of CNI_ARGS. Others' keys are ignored.
func PodOf(args string) Pod {
	var p Pod
	for pair := range strings.SplitSeq(args, ";") {
		key, value, _ := strings.Cut(pair, "=")
		switch key {
		case "K8S_POD_NAMESPACE":
			p.Namespace = value
		case "K8S_POD_NAME":
			p.Name = value
		case "K8S_POD_UID":
			p.UID = value
		}
	}
	return p
}

// RefuseHostNetns fails if path is this process's own network namespace. The
// library checks that too, but after the plugin has run.
func RefuseHostNetns(path string) error {
	var own, other unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &own); err != nil {
		return cnierr.New(cnierr.IO, "looking at the own network namespace: %w", err)
	}
	if err := unix.Stat(path, &other); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return cnierr.New(cnierr.Netns, "network namespace %s does not exist", path)
		}
		return cnierr.New(cnierr.Netns, "looking at network namespace %s: %w", path, err)
	}
	if own.Dev == other.Dev && own.Ino == other.Ino {
		return cnierr.New(cnierr.Netns, "CNI_NETNS %s is the host's own network namespace: a pod needs one of its own", path)
	}
	return nil
}
