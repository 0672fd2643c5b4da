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
		return exitError, silence(err)
	}
	code := 0
	if r.GetTrouble() != "" {
		code = exitLimited
	}
	v := snatOf(r)
	if asJSON {
		return code, printJSON(out, v)
	}
	fmt.Fprintln(out, v.kept())
	for _, key := range slices.Sorted(maps.Keys(v.Settings)) {
		fmt.Fprintf(out, "%s of its conflist: %s\n", key, v.Settings[key])
	}
	if v.Trouble != "" {
		fmt.Fprintln(out, "not as wanted:", v.Trouble)
	}
	return code, nil
}

func snatOf(r *ipamapi.SnatReply) *snatView {
	return &snatView{r.GetNetwork(), r.GetSettings(), r.GetRepairs(), r.GetTrouble()}
}

// String is all of it but the settings, in a line.
func (v snatView) String() string {
	if v.Trouble != "" {
		return v.kept() + ", not as wanted: " + v.Trouble
	}
	return v.kept()
}

func (v snatView) kept() string {
	if v.Network == "" {
		return "not kept: vpc-snat has added no pod yet"
	}
	return fmt.Sprintf("kept for network %s, repaired %d times since vpc-ipamd started", v.Network, v.Repairs)
}
