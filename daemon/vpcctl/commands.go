package main

import (
	"context"
	"io"
	"slices"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
)

// command is a subcommand. Usage, help, parsing, completion and the tables of the
// README derive from it. A new one is a function in a file of its own that returns
// it, and a line in commands; then `go test ./daemon/vpcctl -args -update` writes
// the README's tables.
type command struct {
	name     string
	operands []operand
	flags    []flagSpec
	short    string // one line: what it answers or does
	detail   string // what else --help says, whole lines
	codes    []outcome
	run      func(ctx context.Context, c call) (code int, err error)
	// raw leaves flags to the package that the subcommand is of; they are listed for
	// help and completion, and in call.raw.
	raw bool
}

// operand is a word beside the flags.
type operand struct {
	name     string
	optional bool
	oneOf    []string // what it may be, if that is known beforehand
}

// flagSpec is a flag.
type flagSpec struct {
	name    string // without its dashes
	value   string // what stands for its value: PATH and DIR are completed as such; empty: a switch
	initial string
	env     []string // variables that stand for it, the first that is set
	help    string
}

// outcome is an exit code that is the subcommand's own, or means more there.
type outcome struct {
	code int
	when string
}

// call is a subcommand as it was asked for.
type call struct {
	words  []string
	given  map[string]string // every flag; of a switch that is on, "true"
	raw    []string          // the line behind the subcommand as it was
	getenv func(string) string
	out    io.Writer
}

func (c call) text(flag string) string { return c.given[flag] }

func (c call) on(flag string) bool { return c.given[flag] == "true" }

// commands is the table, in the order of the usage.
func commands() []command {
	return []command{
		statusCommand(), poolCommand(), podsCommand(), snatCommand(),
		explainCommand(), checkCommand(), gcCommand(), drainCommand(), traceCommand(), maxPodsCommand(),
		installCommand(), uninstallCommand(), completionCommand(),
	}
}

// find is the subcommand of the name.
func find(name string) (command, bool) {
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == name })
	if i < 0 {
		return command{}, false
	}
	return all[i], true
}

// Exit codes of all subcommands; they are stable.
const (
	exitError       = 1 // and check: something differs
	exitUsage       = 2
	exitLimited     = 3
	exitUnavailable = 4
	exitDropped     = 5 // explain: the packet does not arrive
)

// general are the exit codes that mean the same everywhere.
func general() []outcome {
	return []outcome{{0, "good"}, {exitError, "an error"}, {exitUsage, "a wrong command line"}}
}

// daemonFlags are those of a subcommand that asks vpc-ipamd.
func daemonFlags(more ...flagSpec) []flagSpec {
	return append(more,
		flagSpec{name: "json", help: "answer as JSON, whose names are stable"},
		flagSpec{name: "socket", value: "PATH", initial: ipamapi.DefaultSocket, help: "of vpc-ipamd"},
	)
}

// nodeFlags are those of a subcommand that reads the kernel, and the daemon's files, itself.
func nodeFlags(more ...flagSpec) []flagSpec {
	return append(daemonFlags(more...), flagSpec{name: "state-dir", value: "DIR", initial: nodefacts.Dir, help: "of vpc-ipamd"})
}
