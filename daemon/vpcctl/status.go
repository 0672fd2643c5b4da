package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vpcchain/vpcchain/daemon/internal/state"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
)

func statusCommand() command {
	return command{
		name: "status", short: "does vpc-ipamd serve? the node, its ENIs, the pool, what it is to have and why, what the loop does next", flags: nodeFlags(),
		codes: []outcome{{exitError, "it does not answer"}, {exitLimited, "it serves, and something is wrong"}, {exitUnavailable, "it cannot serve"}},
		detail: `The first line is the answer: serving, limited or unavailable, with the reason. Where vpc-ipamd does not answer, what
the kernel and its files tell follows. It is cheap enough for a probe.
`,
		run: func(ctx context.Context, c call) (int, error) {
			conn, err := c.dial()
			if err != nil {
				return exitError, err
			}
			defer func() { _ = conn.Close() }()
			asked, cancel := context.WithTimeout(ctx, asking)
			defer cancel()
			v, code, err := askStatus(asked, conn)
			if err != nil {
				v, err = deadStatus(ctx, c, err), errors.New("vpc-ipamd does not answer")
			}
			if c.on("json") {
				return code, errors.Join(printJSON(c.out, v), err)
			}
			return code, errors.Join(v.print(c.out), err)
		},
	}
}

// askStatus asks vpc-ipamd. Whether it serves comes first and alone: that needs no
// lock, and an older daemon answers it too.
func askStatus(ctx context.Context, conn grpc.ClientConnInterface) (statusView, int, error) {
	r, err := ipamapi.NewIPAMClient(conn).Status(ctx, &ipamapi.StatusRequest{})
	if err != nil {
		return statusView{}, exitError, err
	}
	v := statusView{Source: "daemon", State: "serving", Reason: r.GetReason()}
	code := 0
	switch r.GetState() {
	case ipamapi.StatusReply_STATE_LIMITED:
		v.State, code = "limited", exitLimited
	case ipamapi.StatusReply_STATE_UNAVAILABLE:
		v.State, code = "unavailable", exitUnavailable
	}
	admin := ipamapi.NewAdminClient(conn)
	node, err := admin.Node(ctx, &ipamapi.NodeRequest{})
	v.note("node", err)
	pool, err := admin.Pool(ctx, &ipamapi.PoolRequest{})
	v.note("pool", err)
	snat, err := admin.Snat(ctx, &ipamapi.SnatRequest{})
	v.note("outbound NAT", err)
	v.take(node, pool, snat)
	return v, code, nil
}

func (v *statusView) note(what string, err error) {
	if err != nil {
		v.Notes = append(v.Notes, fmt.Sprintf("vpc-ipamd does not tell of its %s: %s", what, status.Convert(err).Message()))
	}
}

// deadStatus is what is known without vpc-ipamd: its facts, its last word, the kernel.
func deadStatus(ctx context.Context, c call, why error) statusView {
	dir := c.text("state-dir")
	v := statusView{Source: "kernel", State: "unreachable", Reason: "vpc-ipamd does not answer on " + c.text("socket") + ": " + refusal(why) + "; " + nextStep(dir)}
	facts, err := nodefacts.Read(filepath.Join(dir, "node.json"))
	if err == nil {
		v.Node = &nodeView{Instance: facts.InstanceID, Primary: facts.PrimaryIP.String(), EnforcingMode: facts.EnforcingMode}
	} else if !errors.Is(err, fs.ErrNotExist) {
		v.Notes = append(v.Notes, err.Error())
	}
	pods, err := kernelPods(ctx, dir)
	if err != nil {
		v.Notes = append(v.Notes, err.Error())
		return v
	}
	v.Pods = &pods
	return v
}

// refusal is why there is no answer, without gRPC's words around it.
func refusal(err error) string {
	text := status.Convert(err).Message()
	if i := strings.LastIndex(text, "connect: "); i >= 0 {
		return strings.TrimSuffix(text[i+len("connect: "):], `"`)
	}
	return text
}

// silence is the error of a subcommand that has nothing to say without vpc-ipamd.
func silence(err error) error {
	if status.Code(err) != codes.Unavailable && status.Code(err) != codes.DeadlineExceeded {
		return fmt.Errorf("asking vpc-ipamd: %s", status.Convert(err).Message())
	}
	return fmt.Errorf("vpc-ipamd does not answer: %s; `vpcctl status` says what is known without it", refusal(err))
}

// nextStep tells a daemon that is starting from one that is not there.
func nextStep(dir string) string {
	_, _, err := state.Peek(filepath.Join(dir, "ipamd.db"))
	switch {
	case errors.Is(err, state.ErrInUse):
		return "one runs, and is starting, stopping or stuck: its log says what it waits for; pods that run keep their network"
	case errors.Is(err, fs.ErrNotExist):
		return "none has run since the node started: start it; its log says what it lacks"
	}
	return "none runs: start it; pods that run keep their network, new ones wait"
}
