package conformance

import (
	"maps"
	"testing"
)

const (
	podENIKey = "vpc.amazonaws.com/pod-eni"
	groupsKey = "vpc.amazonaws.com/security-groups"
)

// annotated is the call with what a runtime delivers of the pod's annotations.
func (c call) annotated(podENI any, annotations map[string]string) call {
	c.conf = maps.Clone(c.conf)
	c.conf["podENI"] = podENI
	c.conf["runtimeConfig"] = map[string]any{"io.kubernetes.cri.pod-annotations": annotations}
	c.args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=web-0"
	return c
}

func TestIPAMBranch(t *testing.T) {
	eachVersion(t, func(t *testing.T, v string) {
		h, pod, d := newHost(t), newNetns(t), newDaemon(t)
		asked := map[string]string{podENIKey: "[…]", groupsKey: "sg-1"}
		all := maps.Clone(asked)
		all["other"] = "x"
		a := d.ask("ADD", v, "c1", pod).annotated(true, all)
		r := result(t, v, h.ok(a))
		if !maps.Equal(d.asked, asked) {
			t.Errorf("the daemon was told %v", d.asked)
		}
		if len(r.Interfaces) != 2 || r.Interfaces[0].Name != "eni-0f00" || r.Interfaces[0].Mac != "02:00:00:00:00:01" ||
			r.Interfaces[1].Name != "vlan.eth.153" || r.Interfaces[1].Mac != "02:00:00:00:00:0b" || r.Interfaces[1].Sandbox != "" || *r.IPs[0].Interface != 1 {
			t.Errorf("interfaces %+v, %+v", r.Interfaces, r.IPs[0])
		}
		if v == "1.1.0" && (r.Interfaces[0].Mtu != 9001 || r.Interfaces[1].Mtu != 9001) {
			t.Errorf("MTUs %d, %d", r.Interfaces[0].Mtu, r.Interfaces[1].Mtu)
		}
		if got := r.IPs[0].Address.String(); got != "10.20.12.10/32" || r.IPs[0].Gateway.String() != "10.20.12.1" {
			t.Errorf("address %s by %s", got, r.IPs[0].Gateway)
		}
		h.ok(a.as("CHECK", r))
		// What the annotations have become matters to nobody who goes.
		gone := a.as("DEL", nil)
		gone.conf["runtimeConfig"] = map[string]any{"io.kubernetes.cri.pod-annotations": 7}
		h.ok(gone)
		h.ok(gone)
		if n := d.holds(); n != 0 {
			t.Errorf("%d held after DEL", n)
		}
		h.fails(a.as("CHECK", r), 3)
	})
}

// A pod without such annotations is served as ever where podENI is set.
func TestIPAMPodENIWithoutWish(t *testing.T) {
	h, pod, d := newHost(t), newNetns(t), newDaemon(t)
	for i, c := range []call{
		d.ask("ADD", "1.1.0", "c0", pod).annotated(true, map[string]string{"other": "x"}),
		d.ask("ADD", "1.1.0", "c1", pod).annotated(false, nil),
	} {
		r := result(t, "1.1.0", h.ok(c))
		if len(r.Interfaces) != 1 || r.Interfaces[0].Name != "eni-0f00" || len(d.asked) != 0 {
			t.Errorf("call %d: %+v, the daemon was told %v", i, r.Interfaces, d.asked)
		}
	}
}

func TestIPAMBranchRefused(t *testing.T) {
	eachVersion(t, func(t *testing.T, v string) {
		h, pod, d := newHost(t), newNetns(t), newDaemon(t)
		for _, key := range []string{podENIKey, groupsKey} {
			wish := map[string]string{key: "sg-1"}
			h.fails(d.ask("ADD", v, "c1", pod).annotated(false, wish), 7, "ns/web-0", "podENI", "vpc-sgpp")
			h.fails(d.ask("ADD", v, "c1", pod).annotated(nil, wish), 7, "ns/web-0", "podENI")
			under := d.ask("ADD", v, "c1", pod).delegated().annotated(true, wish)
			under.conf["ipam"].(map[string]any)["podENI"] = true
			h.fails(under, 7, "ns/web-0", "ipam of another plugin")
		}
		h.fails(d.ask("ADD", v, "c1", pod).annotated("yes", nil), 7, "podENI")
		bad := d.ask("ADD", v, "c1", pod).annotated(true, nil)
		bad.conf["runtimeConfig"] = map[string]any{"io.kubernetes.cri.pod-annotations": []string{"x"}}
		h.fails(bad, 7, "annotations")
		if n := d.holds(); n != 0 {
			t.Errorf("refused ADDs hold %d addresses", n)
		}
		// A daemon of before branch ENIs would give the pod the node's groups.
		d.old = true
		h.fails(d.ask("ADD", v, "c1", pod).annotated(true, map[string]string{groupsKey: "sg-1"}), 11, "ns/web-0", "version")
		if n := d.holds(); n != 0 {
			t.Errorf("%d held after a mismatch", n)
		}
	})
}
