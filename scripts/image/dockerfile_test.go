package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func dockerfile(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What the Dockerfile says is what the image has: nothing is said a second time.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	r, err := parse(dockerfile(t))
	if err != nil {
		t.Fatal(err)
	}
	c := r.configuration(order{created: time.Unix(1700000000, 0).UTC(), revision: "abc"}, platform{"linux", "arm64"}, r.variables(platform{"linux", "arm64"}, "1.2.3"))
	if c.Created != "2023-11-14T22:13:20Z" || c.Architecture != "arm64" || c.Config.User != "65532:65532" || c.Config.WorkingDir != "/data" ||
		!slices.Equal(c.Config.Entrypoint, []string{"/tierd"}) || !slices.Equal(c.Config.Cmd, []string{"serve"}) || len(c.Config.ExposedPorts) != 1 {
		t.Errorf("%+v", c)
	}
	if h := c.Config.Healthcheck; h.Interval != 10*time.Second || h.Timeout != 7*time.Second || h.StartPeriod != 40*time.Second || !slices.Equal(h.Test, []string{"CMD", "/tierd", "health"}) {
		t.Errorf("%+v", h)
	}
	if c.Config.Labels["org.opencontainers.image.version"] != "1.2.3" || c.Config.Labels["org.opencontainers.image.revision"] != "abc" {
		t.Errorf("%v", c.Config.Labels)
	}
	if v := r.variables(platform{"linux", "amd64"}, ""); !slices.Equal(v, []string{"TARGETOS=linux", "TARGETARCH=amd64", "VERSION=0.1.0-dev"}) {
		t.Errorf("%q", v)
	}
	build := slices.IndexFunc(r.commands, func(c string) bool { return strings.Contains(c, "go build") })
	for _, word := range []string{"CGO_ENABLED=0", "-trimpath", "-buildvcs=false", "-s -w -X main.version=$VERSION"} {
		if build < 0 || !strings.Contains(r.commands[build], word) {
			t.Errorf("it does not build with %s: %q", word, r.commands)
		}
	}
}

// What this program does not know it refuses by name, so that the image cannot silently lack it.
func TestUnknownInstructions(t *testing.T) {
	t.Parallel()
	whole := dockerfile(t)
	for line, named := range map[string]string{
		"RUN echo":                           "RUN echo",
		"ADD x /x":                           "ADD x /x",
		"STOPSIGNAL SIGINT":                  "STOPSIGNAL SIGINT",
		"COPY deploy /deploy":                "COPY deploy /deploy",
		"COPY --from=build /out/a /a":        "--chmod",
		"ENV A=b C=d":                        "ENV A=b C=d",
		"ENTRYPOINT /tierd":                  "ENTRYPOINT /tierd",
		"HEALTHCHECK CMD /tierd health":      "HEALTHCHECK CMD /tierd health",
		"HEALTHCHECK --timeout=x CMD []":     "--timeout",
		"FROM debian":                        "FROM debian",
		"VOLUME /data":                       "VOLUME /data",
		"COPY --from=build --chmod=1 /a b c": "COPY /a b c",
	} {
		if _, err := parse(whole + line + "\n"); err == nil || !strings.Contains(err.Error(), named) {
			t.Errorf("%q: %v", line, err)
		}
	}
	if _, err := parse("FROM scratch\n"); err == nil {
		t.Error("a Dockerfile that builds nothing is read")
	}
	if _, err := layer(t.TempDir(), []copied{{source: "/etc/passwd", target: "/passwd"}}, time.Now()); err == nil {
		t.Error("a file of the machine is copied")
	}
}

func TestPlatforms(t *testing.T) {
	t.Parallel()
	if got, err := parsePlatforms("linux/amd64,linux/arm64"); err != nil || len(got) != 2 || got[1].String() != "linux/arm64" {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"", "linux", "darwin/arm64", "linux/"} {
		if _, err := parsePlatforms(text); err == nil {
			t.Errorf("%q is a platform", text)
		}
	}
}
