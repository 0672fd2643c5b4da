package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// asking is how long a subcommand waits that has nothing to say without vpc-ipamd.
const asking = 5 * time.Second

func poolCommand() command {
	return command{
		name: "pool", short: "ENIs, addresses, who holds them, what the loop does next", flags: daemonFlags(),
		run: func(ctx context.Context, c call) (int, error) {
			conn, err := c.dial()
			if err != nil {
				return exitError, err
			}
			defer func() { _ = conn.Close() }()
			ctx, cancel := context.WithTimeout(ctx, asking)
			defer cancel()
			return showPool(ctx, ipamapi.NewAdminClient(conn), c.out, c.on("json"))
		},
	}
}

func showPool(ctx context.Context, c ipamapi.AdminClient, out io.Writer, asJSON bool) (int, error) {
	r, err := c.Pool(ctx, &ipamapi.PoolRequest{})
	if err != nil {
		return exitError, silence(err)
	}
	v := viewOf(r)
	if asJSON {
		return 0, printJSON(out, v)
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ENI\tLINK\tPRIMARY\tTABLE\tPREFIXES\tADDRESSES\tUSED\tCOOLING\tFREE\tNOTE")
	for _, e := range v.ENIs {
		n := e.count()
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", e.ID, e.Link, e.Primary, e.Table, len(e.Prefixes), len(e.Addresses), n["used"], n["cooling"], n["free"], e.remark())
	}
	if err := t.Flush(); err != nil {
		return exitError, err
	}
	fmt.Fprintf(out, "%d addresses: %d used, %d cooling, %d available\n", v.Addresses, v.Used, v.Cooling, v.Available)
	for _, a := range v.doubtful() {
		fmt.Fprintln(out, a)
	}
	if err := v.Trunk.print(out); err != nil {
		return exitError, err
	}
	for _, p := range v.Plan {
		fmt.Fprintln(out, "next:", p)
	}
	return 0, nil
}

// remark is the note, and what the ENI's drain waits for.
func (e eniView) remark() string {
	if e.Drain == nil {
		return e.Note
	}
	return strings.TrimPrefix(e.Note+"; "+e.Drain.String(), "; ")
}

// count is how many addresses the ENI has in each state.
func (e eniView) count() map[string]int {
	n := map[string]int{}
	for _, a := range e.Addresses {
		n[a.State]++
	}
	return n
}
