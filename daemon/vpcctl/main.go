// Command vpcctl is the operator's command line on a node: what vpc-ipamd has,
// whether it serves, and how the chain gets onto the node.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

const usage = `vpcctl shows what vpc-ipamd does on this node, and installs the chain there.

  vpcctl status [--json]   does it serve? exit 0 yes, 3 with something wrong, 4 no, 1 it does not answer
  vpcctl pool [--json]     ENIs, addresses, who holds them
  vpcctl snat [--json]     whose outbound NAT is kept, how often it was repaired

  vpcctl explain SRC DST [PORT] [--json]
                           the way of a packet: rules, routes, marks, SNAT, ENI, and what decided each; exit 0, or 5 dropped
  vpcctl check [--fix] [--json]
                           the node against what is promised of it; exit 0 nothing differs, 1 something does

  vpcctl install [flags]   put the chain onto this node; --help lists the flags, --dry-run says what would be done
  vpcctl uninstall [flags] take it off again, with every kernel object; refuses while pods run

  --socket PATH            of vpc-ipamd
  --state-dir DIR          of vpc-ipamd, for explain and check, which work without it (/run/vpc-cni)

Exit codes: 0 good, 1 an error or differences, 2 a wrong command line, 3 limited, 4 unavailable, 5 dropped.
`

// Exit codes of all subcommands; they are stable.
const (
	exitError       = 1 // and check: something differs
	exitUsage       = 2
	exitLimited     = 3
	exitUnavailable = 4
	exitDropped     = 5 // explain: the packet does not arrive
)

func main() {
	code, err := run(os.Args[1:], os.Getenv, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "vpcctl:", err)
		code = max(code, exitError)
	}
	os.Exit(code)
}

func run(args []string, getenv func(string) string, out io.Writer) (int, error) {
	if len(args) == 0 || args[0] == "help" || args[0] == "--help" {
		_, err := fmt.Fprint(out, usage)
		return 0, err
	}
	switch args[0] {
	case "install":
		return doInstall(args[1:], getenv, out)
	case "uninstall":
		return doUninstall(args[1:], getenv, out)
	case "explain", "check":
		return doKernel(args[0], args[1:], out)
	}
	fs := flag.NewFlagSet(args[0], flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	socket := fs.String("socket", ipamapi.DefaultSocket, "")
	asJSON := fs.Bool("json", false, "")
	if err := fs.Parse(args[1:]); err != nil {
		return 2, fmt.Errorf("%w; `vpcctl help` lists the flags", err)
	}
	conn, err := grpc.NewClient("unix:"+*socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return 1, err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	switch args[0] {
	case "status":
		return status(ctx, ipamapi.NewIPAMClient(conn), out, *asJSON)
	case "pool":
		return pool(ctx, ipamapi.NewAdminClient(conn), out, *asJSON)
	case "snat":
		return snat(ctx, ipamapi.NewAdminClient(conn), out, *asJSON)
	}
	return 2, fmt.Errorf("unknown subcommand %q; `vpcctl help` lists them", args[0])
}

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func status(ctx context.Context, c ipamapi.IPAMClient, out io.Writer, asJSON bool) (int, error) {
	r, err := c.Status(ctx, &ipamapi.StatusRequest{})
	if err != nil {
		return 1, fmt.Errorf("asking vpc-ipamd: %w", err)
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

func pool(ctx context.Context, c ipamapi.AdminClient, out io.Writer, asJSON bool) (int, error) {
	r, err := c.Pool(ctx, &ipamapi.PoolRequest{})
	if err != nil {
		return 1, fmt.Errorf("asking vpc-ipamd: %w", err)
	}
	v := viewOf(r)
	if asJSON {
		return 0, printJSON(out, v)
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ENI\tLINK\tPRIMARY\tTABLE\tPREFIXES\tADDRESSES\tUSED\tCOOLING\tFREE\tNOTE")
	for _, e := range v.ENIs {
		n := map[string]int{}
		for _, a := range e.Addresses {
			n[a.State]++
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", e.ID, e.Link, e.Primary, e.Table, len(e.Prefixes), len(e.Addresses), n["used"], n["cooling"], n["free"], e.Note)
	}
	if err := t.Flush(); err != nil {
		return 1, err
	}
	fmt.Fprintf(out, "%d addresses: %d used, %d cooling, %d available\n", v.Addresses, v.Used, v.Cooling, v.Available)
	for _, a := range v.doubtful() {
		fmt.Fprintln(out, a)
	}
	if err := v.Trunk.print(out); err != nil {
		return 1, err
	}
	for _, p := range v.Plan {
		fmt.Fprintln(out, "next:", p)
	}
	return 0, nil
}
