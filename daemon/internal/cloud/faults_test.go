package cloud

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
)

func TestRefusals(t *testing.T) {
	onNodeA(t, Options{}, func(n node) {
		t, c, sim := n.t, n.c, n.sim
		ctx := t.Context()
		e, err := c.Create(ctx, eni.CreateSpec{SubnetID: "subnet-a"})
		check(t, err)
		_, err = c.Attach(ctx, e.ID, 0, 1)
		check(t, err)
		second, err := c.Create(ctx, eni.CreateSpec{SubnetID: "subnet-a"})
		check(t, err)
		attach := func(device int) error { _, err := c.Attach(ctx, second.ID, 0, device); return err }
		if err := attach(1); err == nil || errors.Is(err, eni.ErrENILimit) {
			t.Errorf("attaching at an index in use: %v", err)
		}
		check(t, attach(2))
		third, err := c.Create(ctx, eni.CreateSpec{SubnetID: "subnet-a"})
		check(t, err)
		assign := func(id string, n int) error { _, err := c.Assign(ctx, id, n); return err }
		create := func(subnet string, n int) error {
			_, err := c.Create(ctx, eni.CreateSpec{SubnetID: subnet, Addresses: n})
			return err
		}
		_, attachErr := c.Attach(ctx, third.ID, 0, 3)
		for _, tc := range []struct {
			name string
			err  error
			is   error
			text string // API, code and a word of the message
		}{
			{"one ENI too many", attachErr, eni.ErrENILimit, "EC2 AttachNetworkInterface: AttachmentLimitExceeded: Interface count"},
			{"too many addresses", assign(e.ID, 10), eni.ErrAddressLimit, "EC2 AssignPrivateIpAddresses: PrivateIpAddressLimitExceeded: Number"},
			{"subnet full", create("subnet-tiny", 11), eni.ErrSubnetFull, "EC2 CreateNetworkInterface: InsufficientFreeAddressesInSubnet: The specified subnet"},
			{"no such subnet", create("subnet-none", 1), eni.ErrNotFound, "InvalidSubnetID.NotFound"},
			{"no such ENI", assign("eni-none", 1), eni.ErrNotFound, "InvalidNetworkInterfaceID.NotFound"},
			{"mark without attachment", c.DeleteWithInstance(ctx, e.ID, "eni-attach-none"), eni.ErrNotFound, "EC2 ModifyNetworkInterfaceAttribute: InvalidAttachmentID.NotFound"},
		} {
			if !errors.Is(tc.err, tc.is) || !strings.Contains(tc.err.Error(), tc.text) {
				t.Errorf("%s: %v, want %v with %q", tc.name, tc.err, tc.is, tc.text)
			}
		}
		sim.Fault(ec2.Fault{Action: "CreateNetworkInterface", Code: "UnauthorizedOperation"})
		if err := create("subnet-a", 0); !errors.Is(err, eni.ErrUnauthorized) || !strings.Contains(err.Error(), "allow ec2:CreateNetworkInterface") {
			t.Errorf("not allowed: %v", err)
		}
	})
}

func TestThrottling(t *testing.T) {
	onNodeA(t, Options{}, func(n node) {
		t, c, sim := n.t, n.c, n.sim
		ctx := t.Context()
		e, err := c.Create(ctx, eni.CreateSpec{SubnetID: "subnet-a"})
		check(t, err)
		sim.Fault(ec2.Fault{Action: "AssignPrivateIpAddresses", Code: "RequestLimitExceeded", Count: 2})
		addrs, err := c.Assign(ctx, e.ID, 1)
		if err != nil || len(addrs) != 1 {
			t.Errorf("throttled twice, then served: %v, %v", addrs, err)
		}
		sim.Fault(ec2.Fault{Action: "DescribeNetworkInterfaces", Code: "RequestLimitExceeded"})
		sim.ResetCalls()
		if _, err := c.Describe(ctx); !errors.Is(err, eni.ErrThrottled) || !strings.Contains(err.Error(), "RequestLimitExceeded") {
			t.Errorf("always throttled: %v", err)
		}
		if n := calls(sim)["DescribeNetworkInterfaces RequestLimitExceeded"]; n != maxAttempts {
			t.Errorf("%d attempts, want %d: one layer of retries", n, maxAttempts)
		}
	})
}

// TestLostReplies: the call is applied, its answer is not. Nothing is done twice.
func TestLostReplies(t *testing.T) {
	onNodeA(t, Options{}, func(n node) {
		t, c, sim := n.t, n.c, n.sim
		ctx := t.Context()
		sim.Fault(ec2.Fault{Action: "CreateNetworkInterface", Lost: true, Count: 1})
		e, err := c.Create(ctx, eni.CreateSpec{SubnetID: "subnet-a", ClientToken: "tok"})
		if err != nil { // a broken connection may or may not be retried; the token makes both safe
			e, err = c.Create(ctx, eni.CreateSpec{SubnetID: "subnet-a", ClientToken: "tok"})
		}
		check(t, err)
		sim.Fault(ec2.Fault{Action: "AttachNetworkInterface", Lost: true, Count: 1})
		id, err := c.Attach(ctx, e.ID, 0, 1)
		if err != nil {
			id, err = c.Attach(ctx, e.ID, 0, 1)
		}
		check(t, err)
		sim.Fault(ec2.Fault{Action: "AssignPrivateIpAddresses", Lost: true, Count: 1})
		if _, err := c.Assign(ctx, e.ID, 2); err == nil {
			t.Error("Assign succeeded without an answer")
		}
		all, err := c.Describe(ctx)
		check(t, err)
		if len(all) != 2 || all[1].AttachmentID != id || len(all[1].Addresses) != 2 {
			t.Errorf("after lost replies: %+v", all)
		}
	})
}

func TestDeleteWaitsOutTheDetach(t *testing.T) {
	onNodeA(t, Options{}, func(n node) {
		t, c, sim := n.t, n.c, n.sim
		ctx := t.Context()
		e, err := c.Create(ctx, eni.CreateSpec{SubnetID: "subnet-a"})
		check(t, err)
		attachment, err := c.Attach(ctx, e.ID, 0, 1)
		check(t, err)
		go func() {
			time.Sleep(7 * time.Second) // virtual: the time that EC2 takes
			if err := c.Detach(ctx, attachment); err != nil {
				t.Error(err)
			}
		}()
		start := time.Now()
		check(t, c.Delete(ctx, e.ID))
		if took := time.Since(start); took < 7*time.Second || took > 12*time.Second {
			t.Errorf("deleted after %s", took)
		}
		e, err = c.Create(ctx, eni.CreateSpec{SubnetID: "subnet-a"})
		check(t, err)
		_, err = c.Attach(ctx, e.ID, 0, 1)
		check(t, err)
		short, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		if err := c.Delete(short, e.ID); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "in use") {
			t.Errorf("still attached: %v", err)
		}
		sim.Fault(ec2.Fault{Action: "DeleteNetworkInterface", Code: "UnauthorizedOperation"})
		if err := c.Delete(ctx, e.ID); !errors.Is(err, eni.ErrUnauthorized) {
			t.Errorf("not allowed: %v", err)
		}
	})
}
