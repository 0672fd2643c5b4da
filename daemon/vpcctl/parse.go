package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// run finds the subcommand of a command line and runs it.
func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) (int, error) {
	if len(args) == 0 {
		return 0, usage(out)
	}
	name, rest := args[0], args[1:]
	switch {
	case slices.Contains([]string{"help", "--help", "-h"}, name) && len(rest) == 0:
		return 0, usage(out)
	case name == "help":
		name, rest = rest[0], []string{"--help"}
	}
	c, ok := find(name)
	if !ok {
		return exitUsage, fmt.Errorf("unknown subcommand %q; `vpcctl help` lists them", name)
	}
	given, err := c.parse(rest, getenv)
	given.out = out
	if errors.Is(err, flag.ErrHelp) {
		return 0, c.help(out)
	}
	if err != nil {
		return exitUsage, fmt.Errorf("%w; `vpcctl help %s` tells more", err, name)
	}
	return c.run(ctx, given)
}

// parse reads what follows the subcommand's name. Flags may stand before, between
// and behind the operands.
func (c command) parse(args []string, getenv func(string) string) (call, error) {
	out := call{given: map[string]string{}, raw: args, getenv: getenv}
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	for _, f := range c.flags {
		out.given[f.name] = f.initial
		take := func(v string) error {
			if f.value == "" && v != "true" && v != "false" {
				return errors.New("a switch takes true or false, or nothing")
			}
			out.given[f.name] = v
			return nil
		}
		if f.value == "" {
			fs.BoolFunc(f.name, "", take)
		} else {
			fs.Func(f.name, "", take)
		}
	}
	if c.raw {
		if slices.ContainsFunc(args, func(a string) bool { return slices.Contains([]string{"-h", "-help", "--help"}, a) }) {
			return out, flag.ErrHelp
		}
		return out, nil
	}
	for len(args) > 0 {
		if err := fs.Parse(args); err != nil {
			return out, err
		}
		if args = fs.Args(); len(args) > 0 {
			out.words, args = append(out.words, args[0]), args[1:]
		}
	}
	return out, c.checkWords(out.words)
}

// checkWords compares the operands with those that the subcommand takes.
func (c command) checkWords(words []string) error {
	if len(words) > len(c.operands) {
		return fmt.Errorf("%s takes no %q", c.name, words[len(c.operands)])
	}
	for i, o := range c.operands {
		switch {
		case i >= len(words) && !o.optional:
			return fmt.Errorf("%s lacks its %s", c.name, o.name)
		case i < len(words) && len(o.oneOf) > 0 && !slices.Contains(o.oneOf, words[i]):
			return fmt.Errorf("%s takes %s, not %q", c.name, strings.Join(o.oneOf, ", "), words[i])
		}
	}
	return nil
}
