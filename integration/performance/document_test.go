package performance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPut(t *testing.T) {
	tests := []struct {
		name, old string
		put       Section
		want      string
	}{
		{"first", "", Section{Sizes, "today", "| a |"}, intro + "\n## Sizes of the programs\n\ntoday\n\n| a |\n"},
		{
			"replaced, others stay as they are", "# X\n\nold intro\n\n## ADD and DEL\n\n1\n\n### 8 at once\n\n2\n\n## Sizes of the programs\n\nbefore\n",
			Section{Sizes, "today", "b"},
			intro + "\n## ADD and DEL\n\n1\n\n### 8 at once\n\n2\n\n## Sizes of the programs\n\ntoday\n\nb\n",
		},
		{
			"in order, the unknown last", "## Something\n\n0\n\n## A fleet of nodes\n\n1\n",
			Section{Chain, "today", "c\n\n"},
			intro + "\n## ADD and DEL\n\ntoday\n\nc\n\n## A fleet of nodes\n\n1\n\n## Something\n\n0\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "performance.md")
			if err := os.WriteFile(file, []byte(tt.old), 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second time changes nothing
				if err := Put(file, tt.put); err != nil {
					t.Fatal(err)
				}
				got, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, string(got)); diff != "" {
					t.Fatalf("document (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestRun(t *testing.T) {
	r := Begin("abc1234")
	r.With("x v1.2.3")
	for _, want := range []string{"commit abc1234", "cores of", "Linux ", "go1.", "x v1.2.3", "Load of the machine"} {
		if got := r.String(); !strings.Contains(got, want) {
			t.Errorf("%q has no %q", got, want)
		}
	}
}

// Whatever the document is, sections of others survive, and putting twice is putting once.
func FuzzPut(f *testing.F) {
	f.Add("# P\n\n## A fleet of nodes\n\n1\n")
	f.Add("## \n## \n\n## ADD and DEL")
	f.Fuzz(func(t *testing.T, old string) {
		s := Section{Title: Chain, Made: "now", Body: "x"}
		once := put(old, s)
		if twice := put(once, s); twice != once {
			t.Errorf("put again changes\n%q\nto\n%q", once, twice)
		}
		if !strings.HasPrefix(once, intro+"\n## ") || strings.Count(once, "\n## "+Chain+"\n") != 1 {
			t.Errorf("not one section in %q", once)
		}
	})
}
