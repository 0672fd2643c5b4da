package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// synopsis is how the subcommand is written, with the flags that are not everybody's.
func (c command) synopsis() string {
	out := c.name
	for _, o := range c.operands {
		name := o.name
		if len(o.oneOf) > 0 {
			name = strings.Join(o.oneOf, "|")
		}
		if o.optional {
			name = "[" + name + "]"
		}
		out += " " + name
	}
	if c.raw {
		return out + " [flags]"
	}
	for _, f := range c.flags {
		if !f.shared() {
			out += " [" + f.String() + "]"
		}
	}
	return out
}

// shared tells whether nearly every subcommand has the flag.
func (f flagSpec) shared() bool {
	return slices.Contains([]string{"json", "socket", "state-dir"}, f.name)
}

// String is the flag as it is written.
func (f flagSpec) String() string {
	if f.value == "" {
		return "--" + f.name
	}
	return "--" + f.name + " " + f.value
}

// usage lists the subcommands.
func usage(out io.Writer) error {
	fmt.Fprintln(out, "vpcctl shows what vpc-ipamd does on this node, and installs the chain there.")
	fmt.Fprintln(out)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range commands() {
		fmt.Fprintf(t, "  vpcctl %s\t%s\n", c.synopsis(), c.short)
	}
	fmt.Fprintln(t, "  vpcctl help [SUBCOMMAND]\tits flags and exit codes, as SUBCOMMAND --help")
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nWhere there is something to read, --json answers with stable names.\nExit codes:")
	for _, o := range exitCodes() {
		fmt.Fprintf(out, "  %d  %s\n", o.code, strings.ReplaceAll(o.when, "`", ""))
	}
	return nil
}

// help is what --help says of the subcommand.
func (c command) help(out io.Writer) error {
	fmt.Fprintf(out, "vpcctl %s: %s\n%s", c.synopsis(), c.short, c.detail)
	if len(c.flags) > 0 {
		fmt.Fprintln(out, "\nFlags:")
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, f := range c.flags {
		initial, env := "", ""
		if f.initial != "" {
			initial = " (" + f.initial + ")"
		}
		if len(f.env) > 0 {
			env = "; or $" + strings.Join(f.env, ", $")
		}
		fmt.Fprintf(t, "  %s\t%s%s%s\n", f, f.help, initial, env)
	}
	fmt.Fprintln(t, "\nExit codes:")
	for _, o := range c.exits() {
		fmt.Fprintf(t, "  %d\t%s\n", o.code, o.when)
	}
	return t.Flush()
}

// exits are the exit codes of the subcommand: its own, and of the general ones
// those that it says nothing else of.
func (c command) exits() []outcome {
	out := slices.Clone(c.codes)
	for _, o := range general() {
		if !slices.ContainsFunc(c.codes, func(own outcome) bool { return own.code == o.code }) {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b outcome) int { return a.code - b.code })
	return out
}

// exitCodes are those of all subcommands, one for each code.
func exitCodes() []outcome {
	out := general()
	for _, c := range commands() {
		for _, o := range c.codes {
			i := slices.IndexFunc(out, func(have outcome) bool { return have.code == o.code })
			if i < 0 {
				out = append(out, outcome{code: o.code})
				i = len(out) - 1
			}
			if out[i].when != "" {
				out[i].when += "; "
			}
			out[i].when += "`" + c.name + "`: " + o.when
		}
	}
	slices.SortFunc(out, func(a, b outcome) int { return a.code - b.code })
	return out
}
