package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// snatView is the JSON of `vpcctl snat`; its names are stable.
type snatView struct {
	Network  string            `json:"network"`
	Settings map[string]string `json:"settings"`
	Repairs  uint64            `json:"repairs"`
	Trouble  string            `json:"trouble"`
}

func snatCommand() command {
	return command{
		name: "snat", short: "whose outbound NAT is kept, how often it was repaired", flags: daemonFlags(),
		codes: []outcome{{exitLimited, "the rules are not as wanted"}},
		run: func(ctx context.Context, c call) (int, error) {
			conn, err := c.dial()
			if err != nil {
				return exitError, err
			}
			defer func() { _ = conn.Close() }()
			ctx, cancel := context.WithTimeout(ctx, asking)
			defer cancel()
			return snat(ctx, ipamapi.NewAdminClient(conn), c.out, c.on("json"))
		},
	}
}

func snat(ctx context.Context, c ipamapi.AdminClient, out io.Writer, asJSON bool) (int, error) {
	r, err := c.Snat(ctx, &ipamapi.SnatRequest{})
	if err != nil {
		return exitError, fmt.Errorf("asking vpc-ipamd: %w", err)
	}
	code := 0
	if r.GetTrouble() != "" {
		code = exitLimited
	}
	if asJSON {
		return code, printJSON(out, snatView{r.GetNetwork(), r.GetSettings(), r.GetRepairs(), r.GetTrouble()})
	}
	if r.GetNetwork() == "" {
		_, err := fmt.Fprintln(out, "not kept: vpc-snat has added no pod yet")
		return 0, err
	}
	fmt.Fprintf(out, "kept for network %s, repaired %d times since vpc-ipamd started\n", r.GetNetwork(), r.GetRepairs())
	for _, key := range slices.Sorted(maps.Keys(r.GetSettings())) {
		fmt.Fprintf(out, "%s of its conflist: %s\n", key, r.GetSettings()[key])
	}
	if r.GetTrouble() != "" {
		fmt.Fprintln(out, "not as wanted:", r.GetTrouble())
	}
	return code, nil
}
