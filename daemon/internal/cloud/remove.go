package cloud

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// A detach takes seconds; DeleteNetworkInterface is refused until it is done.
const (
	firstDeleteDelay = 500 * time.Millisecond
	maxDeleteDelay   = 5 * time.Second
)

// Detach starts to detach an ENI. An attachment that is gone is success.
func (c *Client) Detach(ctx context.Context, attachmentID string) error {
	_, err := c.ec2.DetachNetworkInterface(ctx, &ec2.DetachNetworkInterfaceInput{AttachmentId: aws.String(attachmentID)})
	if err == nil {
		return nil
	}
	if err = wrap("DetachNetworkInterface", err); errors.Is(err, eni.ErrNotFound) {
		return nil
	}
	return fmt.Errorf("detaching %s: %w", attachmentID, err)
}

// Delete deletes an ENI, waiting for its detach to end as long as ctx allows.
// An ENI that is gone is success.
func (c *Client) Delete(ctx context.Context, eniID string) error {
	for delay := firstDeleteDelay; ; delay = min(2*delay, maxDeleteDelay) {
		_, err := c.ec2.DeleteNetworkInterface(ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: aws.String(eniID)})
		if err == nil {
			return nil
		}
		err = wrap("DeleteNetworkInterface", err)
		switch {
		case errors.Is(err, eni.ErrNotFound):
			return nil
		case !inUse(err):
			return fmt.Errorf("deleting %s: %w", eniID, err)
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("deleting %s: %w: %w", eniID, ctx.Err(), err)
		}
	}
}

// inUse tells whether EC2 refused because the ENI is attached: a code of its
// own, or InvalidParameterValue "Network interface 'eni-…' is currently in use."
func inUse(err error) bool {
	return hasCode(err, "InvalidNetworkInterface.InUse") || hasCode(err, "InvalidParameterValue") && strings.Contains(err.Error(), "in use")
}
