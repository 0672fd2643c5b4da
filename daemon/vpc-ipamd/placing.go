package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/kube"
	"github.com/vpcchain/vpcchain/daemon/internal/placement"
)

// placing is where ENIs for pods go by the settings, and what follows a change
// of it until its context ends.
func placing(c config.Config, ec2 placement.Subnets, reports *kube.Keeper, log *slog.Logger) (engine.Placement, func(context.Context) error) {
	idle := func(context.Context) error { return nil }
	switch {
	case c.CustomNet:
		dir := placement.NewDirectory(c.ENIConfigDir, log)
		reports.Moved = dir.Tell
		return &placement.Custom{
			Configs: placement.Both{Directory: dir, Kubernetes: reports}, Node: reports.Node, LabelKey: c.LabelKey, AnnotationKey: c.AnnotationKey, Labels: c.Labels, Annotations: c.Annotations,
			Hint: fmt.Sprintf("create it in Kubernetes (vpc-kube reports it), or write it into a YAML file in %s (ENI_CONFIG_DIR), or name another one in NODE_LABELS=%s=<name>", c.ENIConfigDir, c.LabelKey),
		}, dir.Run
	case c.SubnetDiscovery:
		return placement.NewDiscovery(ec2, c.ClusterName, log), idle
	}
	return nil, idle
}
