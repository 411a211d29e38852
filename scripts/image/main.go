// Command image builds the container image without a container engine: it carries out the
// Dockerfile of the folder that it runs in, of which it knows what stands there and refuses the rest by name.
// What it writes is an OCI image layout, for one or more platforms, which crane, skopeo and docker read.
//
//	image [--version V] [--revision COMMIT] [--platforms linux/amd64,linux/arm64] [--output bin/image]
//
// The commands of the stage "build" run on this machine, in the working folder, with a temporary
// folder in the place of /out; the last stage's COPY lines become one layer, its other lines the configuration.
//
// It promises the same bytes for the same source, version, platforms and release of Go, whatever the folder,
// the machine and the time: all times are that of the commit, or SOURCE_DATE_EPOCH, and nothing comes from the
// machine but the Go toolchain. The Go image that the Dockerfile names is not used.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// buildFolder is where the Dockerfile's first stage puts what the last one copies.
const buildFolder = "/out"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// order is what is to be built.
type order struct {
	// version is told to the binary; "" leaves the Dockerfile's own.
	version, output string
	platforms       []platform
	// created is the time of everything; revision the commit, "" if it is not known.
	created  time.Time
	revision string
}

// platform is one that the image is built for.
type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
}

func (p platform) String() string { return p.OS + "/" + p.Architecture }

func run(ctx context.Context, arguments []string, out io.Writer) error {
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	version := flags.String("version", "", "version that the binary tells (default the Dockerfile's)")
	output := flags.String("output", "bin/image", "folder to write the image to, replaced; the same with .tar is an archive of it")
	revision := flags.String("revision", "", "commit to name in the image (default git's)")
	platforms := flags.String("platforms", "linux/amd64,linux/arm64", "comma-separated platforms")
	if err := flags.Parse(arguments); err != nil {
		return fmt.Errorf("read the command line: %w", err)
	}
	o := order{version: *version, output: *output, revision: *revision}
	var err error
	if o.platforms, err = parsePlatforms(*platforms); err != nil {
		return err
	}
	if err = o.date(ctx); err != nil {
		return err
	}
	text, err := os.ReadFile("Dockerfile")
	if err != nil {
		return fmt.Errorf("read the Dockerfile: %w", err)
	}
	recipe, err := parse(string(text))
	if err != nil {
		return fmt.Errorf("read the Dockerfile: %w", err)
	}
	digest, err := o.build(ctx, recipe)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s: %s (%s)\n", o.output, digest, *platforms)
	return err
}

func parsePlatforms(text string) (all []platform, err error) {
	for part := range strings.SplitSeq(text, ",") {
		system, architecture, ok := strings.Cut(part, "/")
		if !ok || system != "linux" || architecture == "" {
			return nil, fmt.Errorf("--platforms must be such as linux/amd64, not %q", part)
		}
		all = append(all, platform{system, architecture})
	}
	return all, nil
}

// date takes the time and the name of the commit, but for what was given.
func (o *order) date(ctx context.Context) error {
	text, gitErr := exec.CommandContext(ctx, "git", "log", "-1", "--format=%ct %H").Output()
	seconds, commit, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	if epoch := os.Getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		seconds = epoch
	} else if gitErr != nil {
		return fmt.Errorf("find the time of the commit (where there is no git, set SOURCE_DATE_EPOCH): %w", gitErr)
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return fmt.Errorf("read the time %q: %w", seconds, err)
	}
	o.created, o.revision = time.Unix(n, 0).UTC(), cmp.Or(o.revision, commit)
	return nil
}

// build writes the image, and returns its digest.
func (o order) build(ctx context.Context, r *recipe) (string, error) {
	next := o.output + ".new"
	if err := os.RemoveAll(next); err != nil {
		return "", fmt.Errorf("begin with an empty folder: %w", err)
	}
	l, err := newLayout(next)
	if err != nil {
		return "", err
	}
	var manifests []descriptor
	for _, p := range o.platforms {
		d, err := o.buildFor(ctx, r, p, l)
		if err != nil {
			return "", fmt.Errorf("build for %s: %w", p, err)
		}
		manifests = append(manifests, d)
	}
	digest, err := l.finish(manifests, o.version)
	if err != nil {
		return "", err
	}
	if err := os.RemoveAll(o.output); err != nil {
		return "", fmt.Errorf("remove the former image: %w", err)
	}
	if err := os.Rename(next, o.output); err != nil {
		return "", fmt.Errorf("put the image in place: %w", err)
	}
	return digest, archive(o.output, o.output+".tar", o.created)
}

// buildFor runs the build for one platform and adds its image to the layout.
func (o order) buildFor(ctx context.Context, r *recipe, p platform, l *layout) (descriptor, error) {
	out, err := os.MkdirTemp("", "tierd-image-")
	if err != nil {
		return descriptor{}, fmt.Errorf("make a folder to build in: %w", err)
	}
	defer os.RemoveAll(out)
	variables := r.variables(p, o.version)
	for _, command := range r.commands {
		cmd := exec.CommandContext(ctx, "sh", "-ec", strings.ReplaceAll(command, buildFolder+"/", out+"/"))
		cmd.Env = append(buildEnvironment(), variables...)
		if text, err := cmd.CombinedOutput(); err != nil {
			return descriptor{}, fmt.Errorf("RUN %s: %w\n%s", command, err, text)
		}
	}
	content, err := layer(out, r.copies, o.created)
	if err != nil {
		return descriptor{}, err
	}
	return l.add(content, r.configuration(o, p, variables), p)
}

// buildEnvironment is this process' without what would have the compiler make something else.
func buildEnvironment() (kept []string) {
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		switch name {
		case "GOFLAGS", "GOEXPERIMENT", "GOAMD64", "GOARM64", "GOOS", "GOARCH", "GOWORK", "GOFIPS140", "CGO_ENABLED":
		default:
			kept = append(kept, entry)
		}
	}
	return append(kept, "GOFLAGS=", "GOWORK=off", "GOAMD64=v1", "GOARM64=v8.0")
}

// within is the file of the temporary folder that stands for one of the Dockerfile's build folder.
func within(out, source string) (string, error) {
	inside, ok := strings.CutPrefix(source, buildFolder+"/")
	if !ok || !filepath.IsLocal(inside) {
		return "", fmt.Errorf("COPY of %s: what is copied must be under %s", source, buildFolder)
	}
	return filepath.Join(out, inside), nil
}
