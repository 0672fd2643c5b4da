package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vpcchain/vpcchain/integration/performance"
)

// program is one whose size is told; max is the aim in MB (10^6 octets), 0 for none.
type program struct {
	name string
	max  float64
}

func programs() []program {
	return []program{
		{"vpc-ipam", 8},
		{"vpc-veth", 4},
		{"vpc-snat", 4},
		{"vpc-sgpp", 4},
		{"vpc-ipamd", 0},
		{"vpc-kube", 0},
		{"vpcctl", 0},
		{"cni/ptp", 0},
		{"cni/host-local", 0},
		{"cni/portmap", 0},
		{"cni/bandwidth", 0},
		{"empty", 0},
	}
}

func runSizes(_ context.Context, o options, made *performance.Run) (string, error) {
	made.With("containernetworking/plugins " + performance.ModuleVersion(filepath.Join(o.bin, "cni", "ptp"), "github.com/containernetworking/plugins"))
	var out strings.Builder
	out.WriteString("Static and stripped, in MB of 1,000,000 octets; upstream's plugins (cni/…) and the empty Go binary are built with the same flags.\n\n| program | MB | aim | met |\n|---|---|---|---|\n")
	for _, p := range programs() {
		info, err := os.Stat(filepath.Join(o.bin, p.name))
		if err != nil {
			return "", err
		}
		mb := float64(info.Size()) / 1e6
		aim, met := "–", "–"
		if p.max > 0 {
			aim, met = fmt.Sprintf("≤ %.0f", p.max), "no"
			if mb <= p.max {
				met = "yes"
			}
		}
		fmt.Fprintf(&out, "| %s | %.2f | %s | %s |\n", p.name, mb, aim, met)
	}
	return out.String(), nil
}
