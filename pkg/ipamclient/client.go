// Package ipamclient calls vpc-ipamd on its unix socket. It is the only place
// where a plugin meets gRPC; the plugin sees values and errors with a class. It
// links neither grpc-go nor generated messages: a third of vpc-ipam's start was theirs.
package ipamclient

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/vpcchain/vpcchain/pkg/cnierr"
	"github.com/vpcchain/vpcchain/pkg/ipamclient/internal/unary"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Client calls the daemon, each time on a connection of its own.
type Client struct {
	socket string
	fields []unary.Field
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

// New is a client for the socket. Whether somebody listens shows at a call.
func New(socket string) *Client { return &Client{socket: socket} }

// Traced has the calls carry a traceparent of the W3C; none if it is empty.
func (c *Client) Traced(traceparent string) *Client {
	if traceparent != "" {
		c.fields = []unary.Field{{Name: "traceparent", Value: traceparent}}
	}
	return c
}

// restartWindow is how long Assign puts up with a daemon that does not answer:
// one that is restarted or upgraded is back within it.
const restartWindow = 2 * time.Second

// retryEvery is the pause between two attempts in that window.
const retryEvery = 50 * time.Millisecond

// Assign asks for an address and waits for one until ctx ends. Asking twice
// gives the same address, so a daemon that is killed meanwhile is asked again.
func (c *Client) Assign(ctx context.Context, a Request) (Address, error) {
	request := encodeAssign(a)
	var down time.Time // since when the daemon does not answer
	for {
		asked := time.Now()
		answer, err := unary.Call(ctx, c.socket, methodAssign, request, c.fields...)
		if err == nil {
			return address(answer)
		}
		if unary.StatusOf(err).Code != codes.Unavailable {
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
	}
}

// address checks what the daemon answered.
func address(answer []byte) (Address, error) {
	r, err := decodeAssign(answer)
	if err != nil {
		return Address{}, fmt.Errorf("reading vpc-ipamd's answer: %w", err)
	}
	out := Address{ENI: r.eni.id, MAC: r.eni.mac, MTU: int(r.eni.mtu)}
	if out.Addr, err = netip.ParseAddr(r.address); err == nil {
		if out.Subnet, err = netip.ParsePrefix(r.subnet); err == nil {
			out.Router, err = netip.ParseAddr(r.gateway)
		}
	}
	if b := r.branch; b != nil {
		out.Branch = &Branch{ID: b.id, MAC: b.mac, VLAN: int(b.vlan)}
		if out.Branch.VLAN < 1 || out.Branch.VLAN > vpcnet.MaxVLAN {
			err = errors.Join(err, fmt.Errorf("VLAN id %d is not from 1 to %d", out.Branch.VLAN, vpcnet.MaxVLAN))
		}
	}
	if err != nil {
		return Address{}, fmt.Errorf("reading vpc-ipamd's answer %+v: %w", r, err)
	}
	return out, nil
}

// Release frees the attachment's address; holding none is a success.
func (c *Client) Release(ctx context.Context, a vpcnet.Attachment) error {
	return c.told(ctx, methodRelease, encodeRelease(a))
}

// Check verifies that the attachment holds the address.
func (c *Client) Check(ctx context.Context, a vpcnet.Attachment, addr netip.Addr) error {
	return c.told(ctx, methodCheck, encodeCheck(a, addr.String()))
}

// Collect releases what is not valid on the network.
func (c *Client) Collect(ctx context.Context, network string, valid []vpcnet.Attachment) error {
	return c.told(ctx, methodCollect, encodeCollect(network, valid))
}

// told makes a call of whose answer only the status matters.
func (c *Client) told(ctx context.Context, method string, request []byte) error {
	_, err := unary.Call(ctx, c.socket, method, request, c.fields...)
	return c.explain(err)
}

// Status is nil if an ADD could be served now, else an error of class
// NotAvailable or Limited.
func (c *Client) Status(ctx context.Context) error {
	answer, err := unary.Call(ctx, c.socket, methodStatus, nil)
	if err != nil {
		return cnierr.New(cnierr.NotAvailable, "%s", c.text(err))
	}
	r, err := decodeStatus(answer)
	if err != nil {
		return fmt.Errorf("reading vpc-ipamd's answer: %w", err)
	}
	switch r.state {
	case stateUnavailable:
		return cnierr.New(cnierr.NotAvailable, "vpc-ipamd: %s", r.reason)
	case stateLimited:
		return cnierr.New(cnierr.Limited, "vpc-ipamd: %s", r.reason)
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
	s := unary.StatusOf(err)
	switch s.Code {
	case codes.Unavailable:
		return fmt.Sprintf("vpc-ipamd does not answer on %s: is it running? (%s)", c.socket, s.Message)
	case codes.DeadlineExceeded:
		return fmt.Sprintf("vpc-ipamd on %s did not answer in time", c.socket)
	}
	return "vpc-ipamd: " + s.Message
}

// explain gives the daemon's error a class and a text for people.
func (c *Client) explain(err error) error {
	if err == nil {
		return nil
	}
	class := cnierr.Internal
	switch unary.StatusOf(err).Code {
	case codes.InvalidArgument:
		class = cnierr.Config
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Canceled:
		class = cnierr.TryAgain
	case codes.NotFound:
		class = cnierr.UnknownPod
	}
	return cnierr.New(class, "%s", c.text(err))
}
