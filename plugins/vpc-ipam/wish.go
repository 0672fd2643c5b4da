package main

import (
	"context"
	"encoding/json"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/vpcchain/vpcchain/pkg/cnierr"
	"github.com/vpcchain/vpcchain/pkg/ipamclient"
	"github.com/vpcchain/vpcchain/pkg/netconf"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// wish is what the pod's annotations say of its branch ENI: nothing for most
// pods. A pod that asks for security groups gets them or fails: with an address
// of the pool it would have those of the node.
func (c conf) wish(pod netconf.Pod) (map[string]string, error) {
	all, err := c.annotations()
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, key := range []string{vpcnet.AnnotationPodENI, vpcnet.AnnotationGroups} {
		if v, ok := all[key]; ok {
			out[key] = v
		}
	}
	switch {
	case len(out) == 0:
		return nil, nil
	case c.delegated:
		return nil, cnierr.New(cnierr.Config, "%s asks for security groups of its own, which vpc-ipam cannot give as the ipam of another plugin: use a conflist of vpc-ipam with podENI, vpc-veth and vpc-sgpp, or take its annotations away", named(pod))
	case !c.podENI:
		return nil, cnierr.New(cnierr.Config, "%s asks for security groups of its own, and this conflist does not serve them: set \"podENI\": true for vpc-ipam and add vpc-sgpp to the chain, or take its annotations away", named(pod))
	}
	return out, nil
}

// annotations are those that the runtime delivered, by the capability of that
// name: CRI runtimes do, and cnitool by CAP_ARGS.
func (c conf) annotations() (map[string]string, error) {
	if len(c.runtime) == 0 {
		return nil, nil
	}
	var config struct {
		Annotations map[string]string `json:"io.kubernetes.cri.pod-annotations"`
	}
	if err := json.Unmarshal(c.runtime, &config); err != nil {
		return nil, cnierr.New(cnierr.Config, "reading the pod's annotations from runtimeConfig: %w", err)
	}
	return config.Annotations, nil
}

func named(pod netconf.Pod) string {
	if pod.Name == "" {
		return "the pod"
	}
	return "pod " + pod.Namespace + "/" + pod.Name
}

// mismatch gives back what the daemon answered and the pod did not ask for: one
// that is older than podENI does not know branch ENIs.
func (c conf) mismatch(client *ipamclient.Client, args *skel.CmdArgs, pod netconf.Pod) error {
	ctx, cancel := ipamclient.Timeout(context.Background())
	defer cancel()
	err := cnierr.New(cnierr.TryAgain, "%s asks for security groups, and vpc-ipamd answered without a branch ENI, or the reverse: run a daemon of this plugin's version", named(pod))
	if rerr := client.Release(ctx, c.attachment(args)); rerr != nil {
		return cnierr.New(cnierr.TryAgain, "%w; giving the address back: %w", err, rerr)
	}
	return err
}
