package spool

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func TestSpool(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	a := vpcnet.Attachment{Network: "vpc", ContainerID: "c1", IfName: "eth0"}
	b := vpcnet.Attachment{Network: "vpc", ContainerID: "c2", IfName: "eth0"}
	if got, err := List(dir); err != nil || len(got) != 0 {
		t.Fatalf("List without a directory: %v, %v", got, err)
	}
	for _, x := range []vpcnet.Attachment{a, a, b} {
		if err := Put(dir, x); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "torn.json"), []byte(`{"network":"v`), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := List(dir)
	if err == nil {
		t.Error("the torn file was not reported")
	}
	if len(got) != 2 || !slices.Contains(got, a) || !slices.Contains(got, b) {
		t.Errorf("List = %v", got)
	}
	for _, want := range []bool{true, false} {
		if had, err := Drop(dir, a); err != nil || had != want {
			t.Errorf("Drop = %v, %v, want %v", had, err, want)
		}
	}
}

// Many DELs spool at once while the daemon lists.
func TestConcurrentPuts(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if err := Put(dir, vpcnet.Attachment{Network: "vpc", ContainerID: string(rune('A' + i%26)), IfName: "eth0"}); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if _, err := List(dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got, err := List(dir); err != nil || len(got) != 26 {
		t.Errorf("%d entries, %v", len(got), err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"network":"vpc","containerID":"c","ifname":"eth0"}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := parse(raw)
		if err == nil {
			if _, ok := vpcnet.ParseAlias(a.Alias()); !ok {
				t.Fatalf("accepted %q", raw)
			}
		}
	})
}
