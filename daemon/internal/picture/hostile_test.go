package picture

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/recent"
)

// poisoned is a page that says s wherever somebody else's text can come.
func poisoned(s string) View {
	v, node := branches().view, branches().node
	node.Node.InstanceID, node.Node.InstanceType, node.Node.AZ, node.Node.VPCID, node.Enforcing, node.Hold = s, s, s, s, s, s
	v.Plan, v.Waiters, v.Demand = []string{s}, 1, 1
	for i := range v.Pool.ENIs {
		e := &v.Pool.ENIs[i]
		e.ID, e.SubnetID, e.Reason, e.MAC = s, s, "reason "+s, s
		for j := range e.Slots {
			e.Slots[j].Note = "note " + s
			if h := e.Slots[j].Holder; h != nil {
				h.Pod.Name, h.Pod.Namespace, h.Attachment.ContainerID, h.ENI = "pod "+s, s, s, s
			}
		}
	}
	v.Pool.Lost[0].Pod.Name = "pod " + s
	v.Branches.Trunk.Reason = "reason " + s
	for i := range v.Branches.Branches {
		b := &v.Branches.Branches[i]
		b.ENI, b.Note, b.Kind.Groups = s, s, "sg-"+s
		if b.Holder != nil {
			b.Holder.Pod.Name = "pod " + s
		}
	}
	for i := range v.Links {
		l := v.Links[i]
		l.Name = s
		v.Links[i] = l
	}
	node.Status = engine.Status{State: engine.Limited, Reason: "reason " + strings.ReplaceAll(s, ";", "")}
	page := Of(v, node, []recent.Record{{At: now(), Text: s, Attrs: s}}, now())
	page.Asked, page.Refresh = Asked{Src: "src " + s, Dst: "dst " + s, Port: "port " + s, Answer: "answer " + s, Fault: "fault " + s}, 5
	return page
}

// skeleton is the page without its texts: tags and the names of their attributes.
func skeleton(t testing.TB, page []byte) []string {
	t.Helper()
	var out []string
	for z := html.NewTokenizer(bytes.NewReader(page)); ; {
		kind := z.Next()
		if kind == html.ErrorToken {
			if !errors.Is(z.Err(), io.EOF) {
				t.Fatal(z.Err())
			}
			return out
		}
		if kind == html.TextToken {
			continue
		}
		tok := z.Token()
		tag := kind.String() + " " + tok.Data
		for _, a := range tok.Attr {
			tag += " " + a.Key
		}
		out = append(out, tag)
	}
}

// No text of somebody else's changes what the page consists of.
func FuzzTextStaysText(f *testing.F) {
	for _, s := range []string{
		`"><script>alert(1)</script>`, `</title><img src=x onerror=alert(1)>`, `' onmouseover='x`, "</pre></style><style>*{}", `&lt;b&gt;&quot;`, "<!--", "]]>",
		"\x00\x1b[31m\u202Eevil\u2066", "\xff\xfe<\xc0\xbc", "javascript:alert(1)", "a\nb\tc", "`x`", strings.Repeat("<b>", 300),
	} {
		f.Add(s)
	}
	benign := skeleton(f, poisoned("x").HTML())
	f.Fuzz(func(t *testing.T, s string) {
		if s == "" {
			return
		}
		if diff := cmp.Diff(benign, skeleton(t, poisoned(s).HTML())); diff != "" {
			t.Errorf("%q changes the page:\n%s", s, diff)
		}
	})
}

// A text arrives as it was, where it can be shown.
func TestTextArrives(t *testing.T) {
	const s = `<b a="1" c='2'>&amp;`
	doc, err := html.Parse(bytes.NewReader(poisoned(s).HTML()))
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for n := range doc.Descendants() {
		texts = append(texts, n.Data)
		for _, a := range n.Attr {
			texts = append(texts, a.Key+"="+a.Val)
		}
	}
	for _, want := range []string{s, "value=src " + s, "answer " + s, "fault " + s, s + "/pod " + s + " ", "title=" + s, "! 10.20.2.17 withheld; note " + s} {
		if !slices.Contains(texts, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"a\nb\tc": "a\nb\tc", "a\x00b\rc\x7f": "a\uFFFDb\uFFFDc\uFFFD", "shop/\u202Egnp.exe": "shop/\uFFFDgnp.exe", "\xff": "\uFFFD", "größe": "größe",
		"zero\u200bwidth\u2067\ufeff": "zero\uFFFDwidth\uFFFD\uFFFD",
	} {
		if got := printable(in); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
}

// What keeps text from becoming markup is the type of markup: nothing is
// converted to it, and nothing is written past it.
func TestMarkupIsOnlyInTheSource(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, f, src, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "literal" {
					t.Errorf("%s converts to literal", set.Position(n.Pos()))
				}
			case *ast.SelectorExpr:
				if in, ok := n.X.(*ast.SelectorExpr); ok && in.Sel.Name == "b" && strings.HasPrefix(n.Sel.Name, "Write") && f != "page.go" {
					t.Errorf("%s writes past page", set.Position(n.Pos()))
				}
			}
			return true
		})
	}
}
