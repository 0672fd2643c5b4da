package trunking_test

import (
	"errors"
	"strings"

	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/daemon/internal/trunking"
)

func errorsIs(err, target error) bool { return errors.Is(err, target) }

func contains(s, part string) bool { return strings.Contains(s, part) }

// witnesses are what the kernel shows of pods with branches: alias and route.
func witnesses(list ...trunking.Given) []hostnet.Witness {
	var out []hostnet.Witness
	for _, g := range list {
		out = append(out, hostnet.Witness{Addr: g.Addr, Link: "eni" + g.Holder.Attachment.ContainerID, Attachment: g.Holder.Attachment})
	}
	return out
}

// inNetns is a pod of which only its own namespace tells.
func inNetns(g trunking.Given) []hostnet.Witness {
	return []hostnet.Witness{{Addr: g.Addr, Netns: "/run/netns/x"}}
}
