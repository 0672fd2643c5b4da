package ideal

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFor(t *testing.T) {
	l := Latencies{Create: 500 * time.Millisecond, Attach: 2 * time.Second, Mark: 100 * time.Millisecond, Assign: 400 * time.Millisecond, Link: time.Second}
	for _, tc := range []struct {
		name  string
		node  Node
		pods  int
		text  string
		calls map[string]int
	}{
		{"none", Node{3, 9, 1, 50, 5}, 0, "0s: ", map[string]int{}},
		{"on the primary ENI", Node{3, 9, 1, 50, 5}, 9, "400ms: assign 400ms", map[string]int{Assign: 1}},
		{"one more", Node{3, 9, 1, 50, 5}, 10, "3.5s: create 500ms + attach 2s + link 1s", map[string]int{Assign: 1, Create: 1, Attach: 1, Mark: 1}},
		{"all", Node{3, 9, 1, 50, 5}, 27, "3.5s: create 500ms + attach 2s + link 1s", map[string]int{Assign: 1, Create: 2, Attach: 2, Mark: 2}},
		{"prefixes", Node{3, 9, 16, 50, 5}, 144, "400ms: assign 400ms", map[string]int{Assign: 1}},
		{"one more than prefixes on one ENI", Node{3, 9, 16, 50, 5}, 145, "3.5s: create 500ms + attach 2s + link 1s", map[string]int{Assign: 1, Create: 1, Attach: 1, Mark: 1}},
		// The third create begins a second later, and its attach when it has answered.
		{"what EC2 throttles", Node{4, 9, 1, 2, 1}, 36, "4.5s: create 500ms + attach 2s + link 1s", map[string]int{Assign: 1, Create: 3, Attach: 3, Mark: 3}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := For(tc.node, l, tc.pods)
			if err != nil {
				t.Fatal(err)
			}
			if p.String() != tc.text {
				t.Errorf("the plan takes %s, want %s", p, tc.text)
			}
			if d := cmp.Diff(tc.calls, p.Calls()); d != "" {
				t.Error(d)
			}
		})
	}
	if _, err := For(Node{3, 9, 1, 50, 5}, l, 28); err == nil {
		t.Error("28 pods on 27 addresses")
	}
}
