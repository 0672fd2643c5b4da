// Package cri asks a container runtime (containerd, CRI-O) over its CRI socket
// which pod sandboxes it has. The one call that it makes needs one field of the
// answer; the CRI's own Go package would bring Kubernetes' libraries along.
package cri

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"
)

// listMethod and the field numbers are of runtime/v1/api.proto of the CRI.
const (
	listMethod   = "/runtime.v1.RuntimeService/ListPodSandbox"
	fieldItems   = 1 // ListPodSandboxResponse.items
	fieldSandbox = 1 // PodSandbox.id
)

// limit bounds the call; maxAnswer is the kubelet's bound of an answer's size.
const (
	limit     = 5 * time.Second
	maxAnswer = 16 << 20
)

// Client is a connection to the runtime, made at the first call.
type Client struct{ conn *grpc.ClientConn }

// New prepares a client for an endpoint such as unix:///run/containerd/containerd.sock.
func New(endpoint string) (*Client, error) {
	conn, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)))
	if err != nil {
		return nil, fmt.Errorf("CRI_SOCKET %q: %w", endpoint, err)
	}
	return &Client{conn}, nil
}

// Close ends the connection.
func (c *Client) Close() { _ = c.conn.Close() }

// Sandboxes are the ids of all pod sandboxes, in whatever state: of one that
// has stopped the runtime still does the DEL.
func (c *Client) Sandboxes(ctx context.Context) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// A request without a filter is an empty message, and an empty message keeps
	// all fields of the answer as unknown ones.
	answer := &emptypb.Empty{}
	if err := c.conn.Invoke(ctx, listMethod, &emptypb.Empty{}, answer); err != nil {
		return nil, fmt.Errorf("ListPodSandbox at %s: %w: check CRI_SOCKET, and that the runtime speaks CRI v1", c.conn.Target(), err)
	}
	return parse(answer.ProtoReflect().GetUnknown())
}

// parse reads ListPodSandboxResponse. An answer that is cut short is an error: a
// sandbox that is overlooked would lose its address.
func parse(raw []byte) (map[string]bool, error) {
	out := map[string]bool{}
	err := fields(raw, func(n protowire.Number, item []byte) error {
		if n != fieldItems {
			return nil
		}
		id := ""
		err := fields(item, func(n protowire.Number, v []byte) error {
			if n == fieldSandbox {
				id = string(v)
			}
			return nil
		})
		if err == nil && id == "" {
			err = errors.New("a sandbox without an id")
		}
		out[id] = true
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the runtime's answer: %w", err)
	}
	return out, nil
}

// fields calls f for each length-delimited field of a message.
func fields(raw []byte, f func(protowire.Number, []byte) error) error {
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return protowire.ParseError(n)
		}
		raw = raw[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, raw); n < 0 {
				return protowire.ParseError(n)
			}
			raw = raw[n:]
			continue
		}
		v, n := protowire.ConsumeBytes(raw)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if err := f(number, v); err != nil {
			return err
		}
		raw = raw[n:]
	}
	return nil
}
