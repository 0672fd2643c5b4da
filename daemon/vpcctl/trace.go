package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/timeline"
	"github.com/vpcchain/vpcchain/pkg/flight"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
)

// traceView is the JSON of `vpcctl trace`; its names are stable.
type traceView struct {
	Calls []timeline.View `json:"calls"`
}

func traceCommand() command {
	return command{
		name: "trace", short: "the time line of a container's ADD and DEL over plugins, RPC and EC2 calls; without CONTAINERID, the last calls",
		operands: []operand{{name: "CONTAINERID", optional: true}},
		flags: []flagSpec{
			{name: "last", value: "N", initial: "20", help: "how many calls to list without CONTAINERID"},
			{name: "json", help: "answer as JSON, whose names are stable"},
			{name: "state-dir", value: "DIR", initial: nodefacts.Dir, help: "of vpc-ipamd"},
		},
		detail: `CONTAINERID is the beginning of the sandbox's id, or NAMESPACE/POD. It is read from the flight recorder, which works with vpc-ipamd dead;
what is older than the recorder's 4 MB is gone. START counts from the call's begin. Work of the daemon for all that waited is drawn with
dashes, below the wait; it may have begun before the call.
`,
		run: func(_ context.Context, c call) (int, error) { return trace(c, time.Local) },
	}
}

func trace(c call, where *time.Location) (int, error) {
	last, err := strconv.Atoi(c.text("last"))
	if err != nil || last < 1 {
		return exitUsage, fmt.Errorf("--last %q: give a number from 1", c.text("last"))
	}
	dir := flight.Dir(c.text("state-dir"))
	records, err := flight.Read(dir)
	if err != nil {
		return exitError, fmt.Errorf("reading the flight recorder: %w", err)
	}
	calls := timeline.Calls(records)
	one := len(c.words) == 1
	if one {
		if calls, err = timeline.Of(calls, c.words[0]); err != nil {
			return exitError, fmt.Errorf("%w: give more of the id", err)
		}
		if len(calls) == 0 {
			return exitError, fmt.Errorf("nothing is recorded of %s in %s: it is older than the recorder reaches back, or never was on this node; `vpcctl trace` lists what is there", c.words[0], dir)
		}
	} else {
		calls = calls[max(0, len(calls)-last):]
	}
	switch {
	case c.on("json"):
		return 0, printJSON(c.out, traceView{timeline.Views(calls)})
	case !one:
		return 0, timeline.List(c.out, calls, where)
	}
	for i, call := range calls {
		if i > 0 {
			fmt.Fprintln(c.out)
		}
		if err := call.Print(c.out, where); err != nil {
			return exitError, err
		}
	}
	return 0, nil
}
