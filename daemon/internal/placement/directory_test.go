package placement

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func config(name, subnet string) string {
	return "apiVersion: " + apiVersion + "\nkind: " + kind + "\nmetadata: {name: " + name + "}\nspec: {subnet: " + subnet + "}\n"
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// followed is a directory that does not exist yet, in virtual time.
func followed(t *testing.T, f func(t *testing.T, d *Directory)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "eniconfigs")
	synctest.Test(t, func(t *testing.T) {
		d := NewDirectory(path, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- d.Run(ctx) }()
		f(t, d)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// changed lets a reading pass and tells whether it saw a change.
func (d *Directory) changed() bool {
	time.Sleep(readEvery + time.Millisecond)
	synctest.Wait()
	select {
	case <-d.Changes():
		return true
	default:
		return false
	}
}

func TestDirectoryIsFollowed(t *testing.T) {
	followed(t, func(t *testing.T, d *Directory) {
		want := func(step, names string, changed bool) {
			t.Helper()
			if got := d.changed(); got != changed {
				t.Errorf("%s: changed is %t", step, got)
			}
			if got := strings.Join(d.Names(), " "); got != names {
				t.Errorf("%s: names %q, want %q", step, got, names)
			}
		}
		want("no directory", "", false)
		if d.Trouble() != nil {
			t.Errorf("no directory is no trouble: %v", d.Trouble())
		}
		file := filepath.Join(d.path, "a.yaml")
		write(t, file, config("a", "subnet-1"))
		want("a file", "a", true)
		want("nothing", "a", false)
		write(t, file, config("a", "subnet-2"))
		want("another subnet", "a", true)
		if c, ok := d.Get("a"); !ok || c.Subnet != "subnet-2" {
			t.Errorf("a is %+v, %t", c, ok)
		}
		write(t, filepath.Join(d.path, "more.json"), `{"apiVersion":"`+apiVersion+`","kind":"ENIConfig","metadata":{"name":"b"},"spec":{"subnet":"subnet-3"}}`)
		write(t, filepath.Join(d.path, "README"), "not one")
		write(t, filepath.Join(d.path, ".a.yaml.swp"), "not one")
		write(t, filepath.Join(d.path, ".b.yaml"), config("hidden", "subnet-1"))
		want("more files", "a b", true)
		if err := os.RemoveAll(d.path); err != nil {
			t.Fatal(err)
		}
		want("the directory goes", "", true)
	})
}

// A ConfigMap is mounted as symbolic links into a directory that is swapped.
func TestDirectoryOfAConfigMap(t *testing.T) {
	followed(t, func(t *testing.T, d *Directory) {
		write(t, filepath.Join(d.path, "..v1", "a.yaml"), config("a", "subnet-1"))
		write(t, filepath.Join(d.path, "..v2", "a.yaml"), config("a", "subnet-2"))
		link := func(target, name string) {
			t.Helper()
			tmp := filepath.Join(d.path, "..tmp")
			if err := os.Symlink(target, tmp); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(tmp, filepath.Join(d.path, name)); err != nil {
				t.Fatal(err)
			}
		}
		link("..v1", "..data")
		link("..data/a.yaml", "a.yaml")
		if c, _ := d.Get("a"); !d.changed() || c.Subnet != "" {
			t.Errorf("a was %+v", c)
		}
		if c, _ := d.Get("a"); c.Subnet != "subnet-1" {
			t.Errorf("a is %+v", c)
		}
		link("..v2", "..data")
		if !d.changed() {
			t.Error("the swap was not seen")
		}
		if c, _ := d.Get("a"); c.Subnet != "subnet-2" {
			t.Errorf("a is %+v", c)
		}
	})
}

func TestDirectoryTellsWhatItCannotUse(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), config("a", "subnet-1")+"---\n"+config("b", "subnet-2"))
	write(t, filepath.Join(dir, "b.yml"), config("b", "subnet-3"))
	write(t, filepath.Join(dir, "c.yaml"), config("c", "vpc-1"))
	if err := os.Mkdir(filepath.Join(dir, "d.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	d := NewDirectory(dir, slog.New(slog.DiscardHandler))
	if got := d.Names(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("names %q; b is ambiguous, c is bad", got)
	}
	for _, s := range []string{"ENIConfig b is in " + dir + "/a.yaml and in " + dir + "/b.yml", dir + "/c.yaml", "vpc-1", dir + "/d.yaml"} {
		if err := d.Trouble(); err == nil || !strings.Contains(err.Error(), s) {
			t.Errorf("%v does not say %q", err, s)
		}
	}
}
