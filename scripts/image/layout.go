package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Types of what is in an image layout.
const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// descriptor names something by its digest.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

type imageConfig struct {
	platform
	Created string   `json:"created"`
	Config  config   `json:"config"`
	RootFS  rootFS   `json:"rootfs"`
	History []record `json:"history"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

type record struct {
	Created   string `json:"created"`
	CreatedBy string `json:"created_by"`
}

// layout is an OCI image layout: a folder whose blobs are named by their digests.
type layout struct{ dir string }

func newLayout(dir string) (*layout, error) {
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return nil, fmt.Errorf("make the folder for the image: %w", err)
	}
	return &layout{dir}, nil
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// put writes a blob.
func (l *layout) put(mediaType string, content []byte) (descriptor, error) {
	d := descriptor{MediaType: mediaType, Digest: digestOf(content), Size: len(content)}
	name := filepath.Join(l.dir, "blobs", "sha256", strings.TrimPrefix(d.Digest, "sha256:"))
	if err := os.WriteFile(name, content, 0o644); err != nil {
		return d, fmt.Errorf("write to the image: %w", err)
	}
	return d, nil
}

func (l *layout) putJSON(mediaType string, value any) (descriptor, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return descriptor{}, fmt.Errorf("describe the image: %w", err)
	}
	return l.put(mediaType, text)
}

// add puts the image of one platform: a layer, its configuration and the manifest, which it returns.
func (l *layout) add(content []byte, c imageConfig, p platform) (descriptor, error) {
	var packed bytes.Buffer
	zip, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return descriptor{}, fmt.Errorf("compress the layer: %w", err)
	}
	if _, err := zip.Write(content); err != nil {
		return descriptor{}, fmt.Errorf("compress the layer: %w", err)
	}
	if err := zip.Close(); err != nil {
		return descriptor{}, fmt.Errorf("compress the layer: %w", err)
	}
	c.RootFS = rootFS{"layers", []string{digestOf(content)}}
	c.History = []record{{c.Created, "COPY --from=build"}}
	m := manifest{SchemaVersion: 2, MediaType: typeManifest, Layers: make([]descriptor, 1)}
	if m.Layers[0], err = l.put(typeLayer, packed.Bytes()); err != nil {
		return descriptor{}, err
	}
	if m.Config, err = l.putJSON(typeConfig, c); err != nil {
		return descriptor{}, err
	}
	d, err := l.putJSON(typeManifest, m)
	d.Platform = &p
	return d, err
}

// finish writes the index of the platforms, whose digest is the image's, and what makes the folder a layout.
func (l *layout) finish(manifests []descriptor, version string) (string, error) {
	whole, err := l.putJSON(typeIndex, index{2, typeIndex, manifests})
	if err != nil {
		return "", err
	}
	if version != "" {
		whole.Annotations = map[string]string{"org.opencontainers.image.ref.name": version}
	}
	for name, value := range map[string]any{
		"oci-layout": map[string]string{"imageLayoutVersion": "1.0.0"},
		"index.json": index{2, typeIndex, []descriptor{whole}},
	} {
		text, err := json.Marshal(value)
		if err != nil {
			return "", fmt.Errorf("describe the image: %w", err)
		}
		if err := os.WriteFile(filepath.Join(l.dir, name), text, 0o644); err != nil {
			return "", fmt.Errorf("write the image: %w", err)
		}
	}
	return whole.Digest, nil
}

// layer packs what the COPY lines say, with the folders above, all at one time.
func layer(out string, copies []copied, created time.Time) ([]byte, error) {
	headers, contents := make(map[string]*tar.Header), make(map[string]string)
	for _, c := range copies {
		source, err := within(out, c.source)
		if err != nil {
			return nil, err
		}
		info, err := os.Stat(source)
		if err != nil {
			return nil, fmt.Errorf("COPY of %s: %w", c.source, err)
		}
		name := strings.TrimPrefix(path.Clean(c.target), "/")
		for above := path.Dir(name); above != "."; above = path.Dir(above) {
			if headers[above] == nil {
				headers[above] = &tar.Header{Typeflag: tar.TypeDir, Name: above + "/", Mode: 0o755}
			}
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: c.mode, Uid: c.uid, Gid: c.gid, Size: info.Size()}
		if info.IsDir() {
			h.Typeflag, h.Name, h.Size = tar.TypeDir, name+"/", 0
		} else {
			contents[name] = source
		}
		headers[name] = h
	}
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	names := make([]string, 0, len(headers))
	for name := range headers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := pack(w, headers[name], contents[name], created); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack the layer: %w", err)
	}
	return packed.Bytes(), nil
}

// pack adds one file, or a folder if source is "".
func pack(w *tar.Writer, h *tar.Header, source string, created time.Time) error {
	h.ModTime, h.Format = created, tar.FormatUSTAR
	if err := w.WriteHeader(h); err != nil {
		return fmt.Errorf("pack %s: %w", h.Name, err)
	}
	if source == "" {
		return nil
	}
	file, err := os.Open(source)
	if err != nil {
		return fmt.Errorf("pack %s: %w", h.Name, err)
	}
	defer file.Close()
	if _, err := io.Copy(w, file); err != nil {
		return fmt.Errorf("pack %s: %w", h.Name, err)
	}
	return nil
}

// archive packs a layout as one file.
func archive(dir, name string, created time.Time) (err error) {
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("make the archive: %w", err)
	}
	defer func() {
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
	}()
	w := tar.NewWriter(file)
	err = filepath.WalkDir(dir, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || at == dir {
			return err
		}
		inside, err := filepath.Rel(dir, at)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return pack(w, &tar.Header{Typeflag: tar.TypeDir, Name: filepath.ToSlash(inside) + "/", Mode: 0o755}, "", created)
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return pack(w, &tar.Header{Typeflag: tar.TypeReg, Name: filepath.ToSlash(inside), Mode: 0o644, Size: info.Size()}, at, created)
	})
	if err != nil {
		return fmt.Errorf("pack the archive: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("pack the archive: %w", err)
	}
	return nil
}
