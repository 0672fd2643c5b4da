// Package cri is the kubelet's side of the Container Runtime Interface, as far
// as the suites need it: pods and their containers up and down, commands in
// them, and the runtime's own condition. The messages are written by hand, with
// the field numbers of runtime/v1/api.proto: the interface is stable, a dozen of
// its fields matter here, and its Go package would bring Kubernetes' libraries
// into the module for them.
package cri

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Client is a connection to a runtime, made at the first call.
type Client struct{ conn *grpc.ClientConn }

// New prepares a client for the unix socket at path.
func New(path string) (*Client, error) {
	conn, err := grpc.NewClient("unix://"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("CRI socket %s: %w", path, err)
	}
	return &Client{conn}, nil
}

// Close ends the connection.
func (c *Client) Close() { _ = c.conn.Close() }

// call makes one RPC. An empty message keeps fields as unknown ones, both ways,
// so it can stand for any other.
func (c *Client) call(ctx context.Context, method string, request message) (answer, error) {
	in, out := &emptypb.Empty{}, &emptypb.Empty{}
	in.ProtoReflect().SetUnknown([]byte(request))
	if err := c.conn.Invoke(ctx, "/runtime.v1.RuntimeService/"+method, in, out); err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	return read(out.ProtoReflect().GetUnknown())
}

// Port is a port mapping, TCP.
type Port struct{ Host, Pod uint16 }

// Pod is what the kubelet tells a runtime of a pod.
type Pod struct {
	Namespace, Name, UID string
	CgroupParent         string // path below each hierarchy of control groups
	LogDir               string
	Annotations          map[string]string
	Ports                []Port
}

// encode is PodSandboxConfig.
func (p Pod) encode() message {
	m := message(nil).
		inner(1, message(nil).text(1, p.Name).text(2, p.UID).text(3, p.Namespace)).
		text(2, p.Name).
		text(3, p.LogDir)
	for _, port := range p.Ports {
		m = m.inner(5, message(nil).number(2, uint64(port.Pod)).number(3, uint64(port.Host)))
	}
	return m.
		pairs(6, map[string]string{"io.kubernetes.pod.name": p.Name, "io.kubernetes.pod.namespace": p.Namespace, "io.kubernetes.pod.uid": p.UID}).
		pairs(7, p.Annotations).
		inner(8, message(nil).text(1, p.CgroupParent))
}

// RunPod makes a pod's sandbox, network included, and returns its id.
func (c *Client) RunPod(ctx context.Context, p Pod) (string, error) {
	a, err := c.call(ctx, "RunPodSandbox", message(nil).inner(1, p.encode()))
	return a.text(1), err
}

// StartContainer makes and starts the pod's container and returns its id.
func (c *Client) StartContainer(ctx context.Context, sandbox string, p Pod, image string, args ...string) (string, error) {
	config := message(nil).
		inner(1, message(nil).text(1, p.Name)).
		inner(2, message(nil).text(1, image)).
		texts(4, args...).
		text(11, p.Name+".log")
	a, err := c.call(ctx, "CreateContainer", message(nil).text(1, sandbox).inner(2, config).inner(3, p.encode()))
	if err != nil {
		return "", err
	}
	id := a.text(1)
	_, err = c.call(ctx, "StartContainer", message(nil).text(1, id))
	return id, err
}

// Exec runs a command in a container and returns its standard output; an exit
// status other than 0 is an error with what it wrote.
func (c *Client) Exec(ctx context.Context, container string, command ...string) (string, error) {
	const limit = 60 // seconds
	a, err := c.call(ctx, "ExecSync", message(nil).text(1, container).texts(2, command...).number(3, limit))
	if err != nil {
		return "", err
	}
	if code := a.number(3); code != 0 {
		return "", fmt.Errorf("%q in %.12s: exit status %d: %s%s", command, container, code, a.text(2), a.text(1))
	}
	return a.text(1), nil
}

// StopPod ends the pod's containers and takes its network down.
func (c *Client) StopPod(ctx context.Context, sandbox string) error {
	_, err := c.call(ctx, "StopPodSandbox", message(nil).text(1, sandbox))
	return err
}

// RemovePod removes a pod that was stopped.
func (c *Client) RemovePod(ctx context.Context, sandbox string) error {
	_, err := c.call(ctx, "RemovePodSandbox", message(nil).text(1, sandbox))
	return err
}

// Pods are the runtime's sandboxes, with whether they are ready.
func (c *Client) Pods(ctx context.Context) (map[string]bool, error) {
	a, err := c.call(ctx, "ListPodSandbox", nil)
	if err != nil {
		return nil, err
	}
	items, err := a.inner(1)
	out := map[string]bool{}
	for _, item := range items {
		out[item.text(1)] = item.number(3) == 0
	}
	return out, err
}

// Address is the pod's address, as the runtime tells the kubelet.
func (c *Client) Address(ctx context.Context, sandbox string) (netip.Addr, error) {
	a, err := c.call(ctx, "PodSandboxStatus", message(nil).text(1, sandbox))
	if err != nil {
		return netip.Addr{}, err
	}
	status, err := a.inner(1)
	if err != nil || len(status) == 0 {
		return netip.Addr{}, errors.Join(err, fmt.Errorf("the runtime knows no status of %.12s", sandbox))
	}
	network, err := status[0].inner(5)
	if err != nil || len(network) == 0 {
		return netip.Addr{}, errors.Join(err, fmt.Errorf("the runtime knows no network of %.12s", sandbox))
	}
	return netip.ParseAddr(network[0].text(1))
}

// Condition is one of a runtime's conditions: RuntimeReady, NetworkReady.
type Condition struct {
	OK              bool
	Reason, Message string
}

// Conditions asks for the runtime's own condition.
func (c *Client) Conditions(ctx context.Context) (map[string]Condition, error) {
	a, err := c.call(ctx, "Status", nil)
	if err != nil {
		return nil, err
	}
	status, err := a.inner(1)
	if err != nil || len(status) == 0 {
		return nil, errors.Join(err, errors.New("the runtime tells no status"))
	}
	all, err := status[0].inner(1)
	out := map[string]Condition{}
	for _, one := range all {
		out[one.text(1)] = Condition{one.number(2) == 1, one.text(3), one.text(4)}
	}
	return out, err
}

// Version is the runtime's name and version.
func (c *Client) Version(ctx context.Context) (name, version string, err error) {
	a, err := c.call(ctx, "Version", nil)
	return a.text(2), a.text(3), err
}
