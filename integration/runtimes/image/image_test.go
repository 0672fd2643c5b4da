package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"
)

func contents(t *testing.T, raw []byte) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(raw)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if out[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWrite(t *testing.T) {
	s := Spec{Name: "localhost/x:test", Arch: "amd64", Program: "/x", Entrypoint: []string{"/x"}, Command: []string{"pause"}}
	var a, b bytes.Buffer
	for _, w := range []io.Writer{&a, &b} {
		if err := Write(w, s, []byte("binary")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("two archives of the same differ")
	}
	files := contents(t, a.Bytes())
	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	if len(manifest) != 1 || manifest[0].RepoTags[0] != s.Name {
		t.Fatalf("manifest %+v", manifest)
	}
	var config struct {
		OS     string
		Config struct{ Entrypoint, Cmd []string }
		RootFS struct {
			IDs []string `json:"diff_ids"`
		}
	}
	if err := json.Unmarshal(files[manifest[0].Config], &config); err != nil {
		t.Fatal(err)
	}
	layer := files[manifest[0].Layers[0]]
	if want := fmt.Sprintf("sha256:%x", sha256.Sum256(layer)); config.RootFS.IDs[0] != want || config.OS != "linux" || config.Config.Cmd[0] != "pause" {
		t.Errorf("config %+v, want layer %s", config, want)
	}
	if program := contents(t, layer)["x"]; string(program) != "binary" {
		t.Errorf("the program is %q", program)
	}
	if err := Write(io.Discard, Spec{Name: "x", Program: "x"}, nil); err == nil {
		t.Error("a relative path is taken")
	}
}
