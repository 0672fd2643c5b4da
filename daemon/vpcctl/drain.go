package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// drainResult is the JSON of `vpcctl drain-eni`; its names are stable.
type drainResult struct {
	ENI   string     `json:"eni"`
	State string     `json:"state"` // draining, gone, serving
	Drain *drainView `json:"drain"`
}

func drainCommand() command {
	return command{
		name: "drain-eni", short: "keep new pods off an ENI, which goes with its last pod", operands: []operand{{name: "ENI"}},
		flags: daemonFlags(
			flagSpec{name: "cancel", help: "let it serve pods again"},
			flagSpec{name: "wait", help: "until it is gone"},
			flagSpec{name: "timeout", value: "DURATION", initial: "10m", help: "of --wait"},
		),
		codes: []outcome{{exitLimited, "it is not gone yet, when --wait ends"}},
		detail: `Its free addresses count for nothing from then on: the pool grows elsewhere, if the node may have another ENI. Pods stay
until somebody deletes them. vpc-ipamd remembers it when it restarts. The primary ENI and the trunk cannot be drained.
`,
		run: drainENI,
	}
}

func drainENI(ctx context.Context, c call) (int, error) {
	limit, err := time.ParseDuration(c.text("timeout"))
	switch {
	case err != nil || limit <= 0:
		return exitUsage, fmt.Errorf("--timeout=%q: a duration, as 90s", c.text("timeout"))
	case c.on("cancel") && c.on("wait"):
		return exitUsage, errors.New("--cancel and --wait exclude each other: what is cancelled does not go")
	}
	conn, err := c.dial()
	if err != nil {
		return exitError, err
	}
	defer func() { _ = conn.Close() }()
	admin := ipamapi.NewAdminClient(conn)
	asked, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	r, err := admin.Drain(asked, &ipamapi.DrainRequest{Eni: c.words[0], Cancel: c.on("cancel")})
	if err != nil {
		return exitError, silence(err)
	}
	v := drainResult{ENI: c.words[0], State: "serving"}
	if r.GetDraining() {
		v.State, v.Drain = "draining", drainOf(r.GetDrain())
	}
	code := 0
	if c.on("wait") {
		waiting, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		if v, err = awaitGone(waiting, admin, v); err != nil {
			return exitError, err
		}
		if v.State != "gone" {
			code = exitLimited
		}
	}
	if c.on("json") {
		return code, printJSON(c.out, v)
	}
	return code, v.print(c.out)
}

// drainPoll is how often the pool is looked at.
const drainPoll = 500 * time.Millisecond

// awaitGone waits until the node has the ENI no more, or it serves again, or ctx ends.
func awaitGone(ctx context.Context, admin ipamapi.AdminClient, v drainResult) (drainResult, error) {
	for v.State == "draining" {
		asked, cancel := context.WithTimeout(context.WithoutCancel(ctx), asking)
		p, err := admin.Pool(asked, &ipamapi.PoolRequest{})
		cancel()
		if err != nil {
			return v, silence(err)
		}
		i := slices.IndexFunc(p.GetEnis(), func(e *ipamapi.PoolENI) bool { return e.GetEni().GetId() == v.ENI })
		switch {
		case slices.Contains(p.GetLeaving(), v.ENI):
			v.Drain.Pods, v.Drain.Waits = 0, "EC2, which detaches and deletes it"
		case i < 0:
			return drainResult{ENI: v.ENI, State: "gone"}, nil
		case p.GetEnis()[i].GetDrain() == nil:
			return drainResult{ENI: v.ENI, State: "serving"}, nil
		default:
			v.Drain = drainOf(p.GetEnis()[i].GetDrain())
		}
		select {
		case <-ctx.Done():
			return v, nil
		case <-time.After(drainPoll):
		}
	}
	return v, nil
}

func (v drainResult) print(out io.Writer) error {
	text := "gone"
	switch v.State {
	case "draining":
		text = v.Drain.String()
	case "serving":
		text = "serves pods"
	}
	_, err := fmt.Fprintf(out, "%s: %s\n", v.ENI, text)
	return err
}
