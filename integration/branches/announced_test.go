package branches

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/vishvananda/netlink"

	"github.com/vpcchain/vpcchain/integration/vpcsim/server"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// controller makes trunks and branches by the EC2 API, as the VPC resource
// controller does.
type controller struct {
	t     *testing.T
	h     *host
	ec2   *sdk.Client
	trunk string
}

func newController(t *testing.T, h *host) *controller {
	t.Helper()
	var e server.Endpoints
	must(t, h.w.ask(t.Context(), "GET", "/endpoints", &e))
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
		err = h.enter(func() error { c, err = new(net.Dialer).DialContext(ctx, network, addr); return err })
		return c, err
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &controller{t: t, h: h, ec2: sdk.New(sdk.Options{
		Region: h.w.topo.Region, BaseEndpoint: aws.String(e.EC2), HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
	})}
}

func (c *controller) create(kind ec2types.NetworkInterfaceCreationType, group string) *ec2types.NetworkInterface {
	c.t.Helper()
	out, err := c.ec2.CreateNetworkInterface(c.t.Context(), &sdk.CreateNetworkInterfaceInput{
		SubnetId: aws.String("subnet-a"), Groups: []string{group}, InterfaceType: kind, Description: aws.String("aws-k8s-" + string(kind) + "-eni"),
	})
	must(c.t, err)
	return out.NetworkInterface
}

// attach gives the node a trunk at its highest device index.
func (c *controller) attach() {
	c.t.Helper()
	c.trunk = *c.create(ec2types.NetworkInterfaceCreationTypeTrunk, "sg-nodes").NetworkInterfaceId
	for _, i := range c.h.w.topo.Instances {
		if i.Name == c.h.name {
			_, err := c.ec2.AttachNetworkInterface(c.t.Context(), &sdk.AttachNetworkInterfaceInput{
				NetworkInterfaceId: aws.String(c.trunk), InstanceId: aws.String(i.ID), DeviceIndex: aws.Int32(2),
			})
			must(c.t, err)
		}
	}
}

// announce makes a branch and returns what the pod's annotations say of it.
func (c *controller) announce(vlan int, group string) map[string]string {
	c.t.Helper()
	b := c.create("branch", group)
	as, err := c.ec2.AssociateTrunkInterface(c.t.Context(), &sdk.AssociateTrunkInterfaceInput{
		TrunkInterfaceId: aws.String(c.trunk), BranchInterfaceId: b.NetworkInterfaceId, VlanId: aws.Int32(int32(vlan)), //nolint:gosec // 1 to 4094
	})
	must(c.t, err)
	text, err := json.Marshal([]map[string]any{{
		"eniId": *b.NetworkInterfaceId, "ifAddress": *b.MacAddress, "privateIp": *b.PrivateIpAddress, "ipv6Addr": "", "vlanId": vlan,
		"subnetCidr": "10.20.1.0/24", "subnetV6Cidr": "", "associationID": *as.InterfaceAssociation.AssociationId,
	}})
	must(c.t, err)
	return map[string]string{podENI: string(text)}
}

// Branches that somebody else makes and ends: the daemon takes their trunk as it
// finds it, and gives the pod exactly what its annotation says.
func TestVLANAnnouncedBranches(t *testing.T) {
	w := newWorld(t, "testdata/groups.yaml")
	h := w.node(t, "node-c")
	h.boot(t)
	base := h.bare(t)
	c := newController(t, h)
	c.attach() // after the daemon's start: it finds the trunk when a pod needs it
	t.Run("life", func(t *testing.T) { c.life(t, base) })
	t.Run("refused", func(t *testing.T) { c.refuses(t) })
	t.Run("closed", func(t *testing.T) { c.closed(t) })
	t.Run("bandwidth", func(t *testing.T) { c.bandwidth(t) })
	eventually(t, patience, base.same)
}

func (c *controller) life(t *testing.T, base bare) {
	// The tables of these ids would be the kernel's own: they are elsewhere.
	wish := c.announce(154, "sg-blue")
	p := c.h.run(t, "announced", wish)
	if p.link != "vlan.eth.154" || !strings.Contains(wish[podENI], `"`+p.addr.String()+`"`) {
		t.Errorf("the pod has %s and %s of %s", p.addr, p.link, wish[podENI])
	}
	blue := &end{name: "announced", addr: p.addr, enter: p.enter}
	blue.serve(t)
	node, onprem := &end{name: "node-c", addr: netip.MustParseAddr("10.20.1.11"), enter: c.h.enter}, c.outside()
	node.sees(t, p.addr, port{"tcp", 8080}, node.addr)
	c.h.w.refused(t, node, p.addr, port{"tcp", 8443})
	c.h.w.refused(t, onprem, p.addr, port{"tcp", 8080})
	k, err := c.h.kernel()
	must(t, err)
	if all := strings.Join(k, "\n"); !strings.Contains(all, "table 6154") || strings.Contains(all, "table 254") {
		t.Errorf("the kernel has\n%s", all)
	}
	must(t, p.check(t.Context()))
	b, err := c.h.books(t.Context())
	if must(t, err); len(b.GetBranches()) != 1 || !b.GetBranches()[0].GetAnnounced() || b.GetEni().GetId() != c.trunk {
		t.Errorf("the books have %v", b)
	}
	p.end(t)
	eventually(t, patience, base.same)
	if b, err = c.h.books(t.Context()); err != nil || len(b.GetBranches()) != 0 {
		t.Errorf("after DEL the books have %v, %v", b, err)
	}
	// It is the controller's, who ends it.
	enis, err := c.h.w.enis(t.Context(), "branch")
	if must(t, err); len(enis) != 1 || enis[0].VLAN != 154 {
		t.Errorf("EC2 has %+v", enis)
	}
}

func (c *controller) outside() *end {
	return &end{name: "onprem", addr: netip.MustParseAddr("172.31.7.10"), enter: c.h.w.host("onprem").enter}
}

// refuses: an annotation that cannot be used is an error with the pod's name.
func (c *controller) refuses(t *testing.T) {
	good := c.announce(7, "sg-blue")[podENI]
	for name, text := range map[string]string{
		"vlan0": strings.Replace(good, `"vlanId":7`, `"vlanId":0`, 1), "vlan4095": strings.Replace(good, `"vlanId":7`, `"vlanId":4095`, 1), "text": good[:20],
	} {
		p, err := c.h.sandbox(name, map[string]string{podENI: text})
		must(t, err)
		err = p.add(t.Context())
		cniErr, ok := errors.AsType[*types.Error](err)
		if !ok || cniErr.Code != 7 || !strings.Contains(err.Error(), "default/"+name) {
			t.Errorf("%s: %v", text, err)
		}
		p.end(t)
	}
}

// listed writes a conflist of plugins.
func (c *controller) listed(t *testing.T, plugins string) *host {
	t.Helper()
	file := filepath.Join(t.TempDir(), "10-other.conflist")
	must(t, os.WriteFile(file, []byte(`{"cniVersion": "1.0.0", "name": "other", "plugins": [
		{"type": "vpc-ipam", "podENI": true, "capabilities": {"io.kubernetes.cri.pod-annotations": true}}, {"type": "vpc-veth"}`+plugins+`]}`), 0o600))
	h := c.h.w.nodeWith(t, c.h.name, file)
	h.daemon = c.h.daemon
	return h
}

// closed: a chain that forgets vpc-sgpp gives the pod no packet out and none in,
// instead of the node's security groups.
func (c *controller) closed(t *testing.T) {
	h := c.listed(t, `, {"type": "vpc-snat"}`)
	p := h.run(t, "closed", c.announce(9, "sg-nodes"))
	inside, onprem := &end{name: "closed", addr: p.addr, enter: p.enter}, c.outside()
	node := &end{name: "node-c", enter: h.enter}
	onprem.serve(t)
	inside.serve(t)
	must(t, h.w.ask(t.Context(), "DELETE", "/drops", nil))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // a SYN and one more after a second
	defer cancel()
	for _, x := range []struct {
		from *end
		to   netip.Addr
	}{{inside, onprem.addr}, {inside, netip.MustParseAddr("10.20.1.11")}, {onprem, p.addr}, {node, p.addr}} {
		for _, at := range ports() {
			if from, err := x.from.talk(ctx, x.to, at); err == nil {
				t.Errorf("%s reaches %s %s, as %s", x.from.name, x.to, at, from)
			}
		}
	}
	must(t, h.inside(func() error {
		l, err := netlink.LinkByName(p.veth)
		if err == nil && l.Attrs().Flags&net.FlagUp != 0 {
			err = fmt.Errorf("%s is up", p.veth)
		}
		return err
	}))
	p.end(t)
}

// bandwidth: upstream's plugin behind vpc-sgpp shapes the pod's end, a veth.
func (c *controller) bandwidth(t *testing.T) {
	h := c.listed(t, `, {"type": "vpc-snat"}, {"type": "vpc-sgpp"}, {"type": "bandwidth", "ingressRate": 8000000, "ingressBurst": 400000, "egressRate": 8000000, "egressBurst": 400000}`)
	p := h.run(t, "shaped", c.announce(11, "sg-nodes"))
	const size, rate, burst = 1_500_000, 1_000_000, 50_000 // bytes, and a second
	var l net.Listener
	must(t, c.h.w.host("onprem").enter(func() (err error) { l, err = net.Listen("tcp4", ":9000"); return err }))
	defer func() { _ = l.Close() }()
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_, _ = conn.Write(make([]byte, size))
			_ = conn.Close()
		}
	}()
	start := time.Now()
	var n int64
	must(t, p.enter(func() error {
		conn, err := net.DialTimeout("tcp4", "172.31.7.10:9000", patience)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(patience))
		n, err = io.Copy(io.Discard, conn)
		return err
	}))
	took := time.Since(start)
	if least := time.Duration(size-burst) * time.Second / rate; n != size || took < least {
		t.Errorf("%d bytes in %v; at 8 Mbit/s they take %v", n, took, least)
	}
	if _, ok := vpcnet.ParseBranchLink(p.link); !ok {
		t.Errorf("the pod has no branch: %q", p.link)
	}
	t.Logf("%d bytes in %v through bandwidth and a branch: %.1f Mbit/s of 8", n, took, float64(n)*8/1e6/took.Seconds())
	p.end(t)
}
