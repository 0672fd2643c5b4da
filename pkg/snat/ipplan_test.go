package snat

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tableModel is an iptables table that takes the commands of a plan and refuses
// what iptables-restore would refuse.
type tableModel map[string][]string

func (m tableModel) run(t *testing.T, commands []string) {
	t.Helper()
	for _, c := range commands {
		verb, rest, _ := strings.Cut(c, " ")
		chain, rest, _ := strings.Cut(rest, " ")
		_, exists := m[chain]
		if (verb == "-N") == exists {
			t.Fatalf("%q: chain exists %t", c, exists)
		}
		switch verb {
		case "-N":
			m[chain] = nil
		case "-A":
			m[chain] = append(m[chain], rest)
		case "-I":
			n, rule, _ := strings.Cut(rest, " ")
			m[chain] = slices.Insert(m[chain], number1(t, n, len(m[chain])+1), rule)
		case "-D":
			i := number1(t, rest, len(m[chain]))
			m[chain] = slices.Delete(m[chain], i, i+1)
		case "-F":
			m[chain] = nil
		case "-X":
			if len(m[chain]) > 0 {
				t.Fatalf("%q: not empty", c)
			}
			delete(m, chain)
		default:
			t.Fatalf("unknown command %q", c)
		}
	}
}

func number1(t *testing.T, text string, most int) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		t.Fatalf("rule number %q of %d", text, most)
	}
	return n - 1
}

func (m tableModel) chains() []ipChain {
	var out []ipChain
	for name, rules := range m {
		out = append(out, ipChain{name, slices.Clone(rules)})
	}
	slices.SortFunc(out, func(a, b ipChain) int { return strings.Compare(a.name, b.name) })
	return out
}

func TestChainCommands(t *testing.T) {
	for _, tc := range []struct{ have, want, commands string }{
		{"", "a b", "-I C 1 a;-I C 2 b"},
		{"a b", "a b", ""},
		{"a b c", "a c", "-D C 2"},
		{"a c", "a b c", "-I C 2 b"},
		{"old", "new", "-I C 1 new;-D C 2"},
		{"a b", "b a", "-I C 1 b;-D C 3"},
		{"x a y", "a z", "-I C 3 z;-D C 4;-D C 1"},
	} {
		got := strings.Join(chainCommands("C", strings.Fields(tc.want), strings.Fields(tc.have)), ";")
		if got != tc.commands {
			t.Errorf("%q to %q: %q, want %q", tc.have, tc.want, got, tc.commands)
		}
	}
}

// From any rules to any others: the commands are taken, end on what is wanted,
// name no rule of others, and the second plan is empty.
func TestPlansEndOnWhatIsWanted(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test's choice
	pick := func(own bool) []string {
		var out []string
		for range r.IntN(4) {
			if own {
				out = append(out, fmt.Sprintf("-m comment --comment %q -j R%d", comment, r.IntN(4)))
			} else {
				out = append(out, fmt.Sprintf("-j OTHER%d", r.IntN(4)))
			}
		}
		return out
	}
	for range 5000 {
		m := tableModel{"PREROUTING": nil, "POSTROUTING": nil}
		var others []string
		m["POSTROUTING"] = append(pick(true), pick(false)...)
		r.Shuffle(len(m["POSTROUTING"]), func(i, j int) { p := m["POSTROUTING"]; p[i], p[j] = p[j], p[i] })
		others = slices.DeleteFunc(slices.Clone(m["POSTROUTING"]), ownRule)
		want := ipTable{builtin: map[string][]string{}}
		for i := range 4 {
			name := fmt.Sprint(chainPrefix, i)
			if r.IntN(2) == 0 {
				m[name] = pick(r.IntN(2) == 0)
			}
			if r.IntN(2) == 0 {
				want.chains = append(want.chains, ipChain{name, pick(r.IntN(2) == 0)})
			}
		}
		if r.IntN(3) > 0 {
			want.builtin["POSTROUTING"] = []string{jumpRule()}
		}
		m.run(t, ipCommands(want, m.chains()))
		for _, c := range want.chains {
			if diff := cmp.Diff(c.rules, m[c.name]); diff != "" && len(c.rules)+len(m[c.name]) > 0 {
				t.Fatalf("chain %s: %s", c.name, diff)
			}
		}
		if left := slices.DeleteFunc(slices.Clone(m["POSTROUTING"]), ownRule); !slices.Equal(left, others) {
			t.Fatalf("others' rules were %q and are %q", others, left)
		}
		if n := len(m["POSTROUTING"]) - len(others); n != len(want.builtin["POSTROUTING"]) {
			t.Fatalf("%d rules of ours in POSTROUTING: %q", n, m["POSTROUTING"])
		}
		if again := ipCommands(want, m.chains()); len(again) > 0 {
			t.Fatalf("the second plan is %q", again)
		}
	}
}

func FuzzParseFlow(f *testing.F) {
	f.Add([]byte{2, 0, 0, 0, 8, 0, 3, 0, 0, 0, 0, 2})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if fl, ok := parseFlow(raw); ok && !fl.src.IsValid() {
			t.Error("a flow without a source")
		}
		_ = ruleComment(raw)
	})
}
