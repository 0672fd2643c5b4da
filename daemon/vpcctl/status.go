package main

import (
	"context"
	"fmt"
	"io"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

func statusCommand() command {
	return command{
		name: "status", short: "does vpc-ipamd serve?", flags: nodeFlags(),
		codes: []outcome{{exitError, "it does not answer"}, {exitLimited, "it serves, and something is wrong"}, {exitUnavailable, "it cannot serve"}},
		run: func(ctx context.Context, c call) (int, error) {
			conn, err := c.dial()
			if err != nil {
				return exitError, err
			}
			defer func() { _ = conn.Close() }()
			ctx, cancel := context.WithTimeout(ctx, asking)
			defer cancel()
			return status(ctx, ipamapi.NewIPAMClient(conn), c.out, c.on("json"))
		},
	}
}

func status(ctx context.Context, c ipamapi.IPAMClient, out io.Writer, asJSON bool) (int, error) {
	r, err := c.Status(ctx, &ipamapi.StatusRequest{})
	if err != nil {
		return exitError, fmt.Errorf("asking vpc-ipamd: %w", err)
	}
	word, code := "serving", 0
	switch r.GetState() {
	case ipamapi.StatusReply_STATE_LIMITED:
		word, code = "limited", exitLimited
	case ipamapi.StatusReply_STATE_UNAVAILABLE:
		word, code = "unavailable", exitUnavailable
	}
	if asJSON {
		return code, printJSON(out, map[string]string{"state": word, "reason": r.GetReason()})
	}
	if r.GetReason() != "" {
		word += ": " + r.GetReason()
	}
	_, err = fmt.Fprintln(out, word)
	return code, err
}
