// Package ipamclient calls vpc-ipamd on its unix socket. It is the only place
// where a plugin meets gRPC; the plugin sees values and errors with a class.
package ipamclient

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/vpcchain/vpcchain/pkg/cnierr"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Client is a connection to the daemon, made at the first call.
type Client struct {
	socket string
	conn   *grpc.ClientConn
	ipam   ipamapi.IPAMClient
}

// Pod is informative.
type Pod struct{ Namespace, Name, UID string }

// Request is who asks for an address, and for what kind of.
type Request struct {
	Attachment vpcnet.Attachment
	Pod        Pod
	Netns      string // path
	// Annotations of the pod that ask for a branch ENI; none: an address of the pool.
	Annotations map[string]string
}

// Address is what the daemon gave to an attachment.
type Address struct {
	Addr   netip.Addr
	Subnet netip.Prefix
	Router netip.Addr // the VPC router of the subnet
	ENI    string     // that carries it; the trunk of a branch
	MAC    string     // of the ENI
	MTU    int        // of the ENI, bytes
	Branch *Branch    // nil: the address is one of the ENI itself
}

// Branch is the branch ENI of an address, a VLAN on the trunk.
type Branch struct {
	ID   string
	MAC  string
	VLAN int // 1 to vpcnet.MaxVLAN
}

// New prepares a client for the socket. Whether somebody listens shows at the
// first call.
func New(socket string) (*Client, error) {
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(), grpc.WithDisableHealthCheck())
	if err != nil {
		return nil, cnierr.New(cnierr.Config, "socket %q: %w", socket, err)
	}
	return &Client{socket, conn, ipamapi.NewIPAMClient(conn)}, nil
}

// Close ends the connection.
func (c *Client) Close() { _ = c.conn.Close() }

func attachment(a vpcnet.Attachment) *ipamapi.Attachment {
	return &ipamapi.Attachment{Network: a.Network, ContainerId: a.ContainerID, Ifname: a.IfName}
}

// restartWindow is how long Assign puts up with a daemon that does not answer:
// one that is restarted or upgraded is back within it.
const restartWindow = 2 * time.Second

// retryEvery is the pause between two attempts in that window.
const retryEvery = 50 * time.Millisecond

// Assign asks for an address and waits for one until ctx ends. Asking twice
// gives the same address, so a daemon that is killed meanwhile is asked again.
func (c *Client) Assign(ctx context.Context, a Request) (Address, error) {
	req := &ipamapi.AssignRequest{
		Attachment: attachment(a.Attachment), Netns: a.Netns, Annotations: a.Annotations,
		Pod: &ipamapi.Pod{Namespace: a.Pod.Namespace, Name: a.Pod.Name, Uid: a.Pod.UID},
	}
	var down time.Time // since when the daemon does not answer
	for {
		asked := time.Now()
		r, err := c.ipam.Assign(ctx, req)
		if err == nil {
			return decode(r)
		}
		if status.Code(err) != codes.Unavailable {
			return Address{}, c.explain(err)
		}
		// An answer that was long in coming ends with the daemon's death: the window starts there.
		if down.IsZero() || time.Since(asked) > restartWindow {
			down = time.Now()
		}
		if time.Since(down) > restartWindow {
			return Address{}, c.explain(err)
		}
		select {
		case <-ctx.Done():
			return Address{}, c.explain(err)
		case <-time.After(retryEvery):
		}
		c.conn.ResetConnectBackoff()
	}
}

func decode(r *ipamapi.AssignReply) (Address, error) {
	out := Address{ENI: r.GetEni().GetId(), MAC: r.GetEni().GetMac(), MTU: int(r.GetEni().GetMtu())}
	var err error
	if out.Addr, err = netip.ParseAddr(r.GetAddress()); err == nil {
		if out.Subnet, err = netip.ParsePrefix(r.GetSubnet()); err == nil {
			out.Router, err = netip.ParseAddr(r.GetGateway())
		}
	}
	if b := r.GetBranch(); b != nil {
		out.Branch = &Branch{ID: b.GetId(), MAC: b.GetMac(), VLAN: int(b.GetVlanId())}
		if out.Branch.VLAN < 1 || out.Branch.VLAN > vpcnet.MaxVLAN {
			err = errors.Join(err, fmt.Errorf("VLAN id %d is not from 1 to %d", out.Branch.VLAN, vpcnet.MaxVLAN))
		}
	}
	if err != nil {
		return Address{}, fmt.Errorf("reading vpc-ipamd's answer %v: %w", r, err)
	}
	return out, nil
}

// Release frees the attachment's address; holding none is a success.
func (c *Client) Release(ctx context.Context, a vpcnet.Attachment) error {
	_, err := c.ipam.Release(ctx, &ipamapi.ReleaseRequest{Attachment: attachment(a)})
	return c.explain(err)
}

// Check verifies that the attachment holds the address.
func (c *Client) Check(ctx context.Context, a vpcnet.Attachment, addr netip.Addr) error {
	_, err := c.ipam.Check(ctx, &ipamapi.CheckRequest{Attachment: attachment(a), Address: addr.String()})
	return c.explain(err)
}

// Collect releases what is not valid on the network.
func (c *Client) Collect(ctx context.Context, network string, valid []vpcnet.Attachment) error {
	req := &ipamapi.CollectRequest{Network: network}
	for _, a := range valid {
		req.Valid = append(req.Valid, attachment(a))
	}
	_, err := c.ipam.Collect(ctx, req)
	return c.explain(err)
}

// Status is nil if an ADD could be served now, else an error of class
// NotAvailable or Limited.
func (c *Client) Status(ctx context.Context) error {
	r, err := c.ipam.Status(ctx, &ipamapi.StatusRequest{})
	if err != nil {
		return cnierr.New(cnierr.NotAvailable, "%s", c.text(err))
	}
	switch r.GetState() {
	case ipamapi.StatusReply_STATE_UNAVAILABLE:
		return cnierr.New(cnierr.NotAvailable, "vpc-ipamd: %s", r.GetReason())
	case ipamapi.StatusReply_STATE_LIMITED:
		return cnierr.New(cnierr.Limited, "vpc-ipamd: %s", r.GetReason())
	}
	return nil
}

// shortest is a deadline under which a slow daemon is a hung one.
const shortest = time.Second

// Timeout bounds calls that do not wait for the pool to grow.
func Timeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, 5*shortest)
}

func (c *Client) text(err error) string {
	switch status.Code(err) {
	case codes.Unavailable:
		return fmt.Sprintf("vpc-ipamd does not answer on %s: is it running? (%s)", c.socket, status.Convert(err).Message())
	case codes.DeadlineExceeded:
		return fmt.Sprintf("vpc-ipamd on %s did not answer in time", c.socket)
	}
	return "vpc-ipamd: " + status.Convert(err).Message()
}

// explain gives the daemon's error a class and a text for people.
func (c *Client) explain(err error) error {
	if err == nil {
		return nil
	}
	class := cnierr.Internal
	switch status.Code(err) {
	case codes.InvalidArgument:
		class = cnierr.Config
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Canceled:
		class = cnierr.TryAgain
	case codes.NotFound:
		class = cnierr.UnknownPod
	}
	return cnierr.New(class, "%s", c.text(err))
}
