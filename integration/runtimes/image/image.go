// Package image makes a container image out of one static program, without a
// registry and without an image builder: an archive as `docker save` writes it,
// which `ctr images import` and `podman load` read.
package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Spec says what is in an image.
type Spec struct {
	Name       string   // reference, such as localhost/probe:test
	Arch       string   // GOARCH of the program
	Program    string   // its path in the image, absolute
	Entrypoint []string // what a container runs
	Command    []string // arguments when a container gives none
}

// Write writes the archive with binary as the one file of the image. The same
// input gives the same bytes: times are zero, owners are root.
func Write(w io.Writer, s Spec, binary []byte) error {
	if len(s.Program) < 2 || s.Program[0] != '/' {
		return fmt.Errorf("image %s: the program's path %q is not absolute", s.Name, s.Program)
	}
	var layer bytes.Buffer
	if err := archive(&layer, file{s.Program[1:], 0o755, binary}); err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": s.Arch, "os": "linux", "created": time.Unix(0, 0).UTC(),
		"config": map[string]any{"Entrypoint": s.Entrypoint, "Cmd": s.Command},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer.Bytes()))}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{s.Name}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	return archive(w, file{"manifest.json", 0o644, manifest}, file{"config.json", 0o644, config}, file{"layer.tar", 0o644, layer.Bytes()})
}

type file struct {
	name    string
	mode    int64
	content []byte
}

func archive(w io.Writer, files ...file) error {
	t := tar.NewWriter(w)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.content)), ModTime: time.Unix(0, 0)}
		if err := t.WriteHeader(h); err != nil {
			return fmt.Errorf("writing %s: %w", f.name, err)
		}
		if _, err := t.Write(f.content); err != nil {
			return fmt.Errorf("writing %s: %w", f.name, err)
		}
	}
	return t.Close()
}
