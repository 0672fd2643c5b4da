package server

import (
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/trunking"
	"github.com/vpcchain/vpcchain/pkg/cnierr"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
	"github.com/vpcchain/vpcchain/pkg/ipamclient"
)

// A pod that asks for security groups where they are off is refused: an address
// of the pool has the node's.
func TestGroupsWherePodENIIsOff(t *testing.T) {
	r := newRig(t, eni.Limits{ENIs: 1, IPv4PerENI: 5}, 4)
	_, err := r.Assign(t.Context(), ipamclient.Request{
		Attachment: att("c"), Pod: ipamclient.Pod{Namespace: "ns", Name: "web-0"}, Annotations: map[string]string{ipamapi.AnnotationGroups: "sg-a"},
	})
	wantCode(t, err, cnierr.Config, "ns/web-0", "ENABLE_POD_ENI")
}

// What the pod's author must mend is 7 at the plugin; what may pass is 11.
func TestCodesOfBranches(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want codes.Code
	}{
		{branch.ErrBadWish, codes.InvalidArgument},
		{eni.ErrBadGroups, codes.InvalidArgument},
		{trunking.ErrNoBranch, codes.ResourceExhausted},
		{trunking.ErrNotRecorded, codes.ResourceExhausted},
		{errors.New("unforeseen"), codes.Internal},
	} {
		err := toStatus(fmt.Errorf("pod ns/web-0: %w: the reason", tc.err))
		if s := status.Convert(err); s.Code() != tc.want || s.Message() != "pod ns/web-0: "+tc.err.Error()+": the reason" {
			t.Errorf("%v: %s %q", tc.err, s.Code(), s.Message())
		}
	}
}
