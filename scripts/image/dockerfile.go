package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// recipe is the Dockerfile, read.
type recipe struct {
	// arguments are the build stage's ARG lines, commands its RUN lines.
	arguments [][2]string
	commands  []string
	// copies are the last stage's COPY lines, config its others.
	copies []copied
	config config
}

// copied is one COPY line of the last stage.
type copied struct {
	source, target string
	uid, gid       int
	mode           int64
}

// config is the part of an image's configuration that a Dockerfile can say, as OCI has it; Healthcheck is Docker's.
type config struct {
	User         string              `json:"User,omitempty"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts,omitempty"`
	Env          []string            `json:"Env,omitempty"`
	Entrypoint   []string            `json:"Entrypoint,omitempty"`
	Cmd          []string            `json:"Cmd,omitempty"`
	Volumes      map[string]struct{} `json:"Volumes,omitempty"`
	WorkingDir   string              `json:"WorkingDir,omitempty"`
	Labels       map[string]string   `json:"Labels,omitempty"`
	Healthcheck  *healthcheck        `json:"Healthcheck,omitempty"`
}

// healthcheck has its times in nanoseconds.
type healthcheck struct {
	Test        []string      `json:"Test"`
	Interval    time.Duration `json:"Interval,omitempty"`
	Timeout     time.Duration `json:"Timeout,omitempty"`
	StartPeriod time.Duration `json:"StartPeriod,omitempty"`
}

// instruction is one of a Dockerfile: its name and flags, and what follows.
type instruction struct {
	name  string
	flags map[string]string
	rest  string
}

// parse reads a Dockerfile of two stages: "build", whose commands put files under /out, and one from scratch.
func parse(text string) (*recipe, error) {
	r := &recipe{config: config{ExposedPorts: map[string]struct{}{}, Volumes: map[string]struct{}{}}}
	stage := 0
	for _, i := range instructions(text) {
		var err error
		switch {
		case i.name == "FROM":
			stage++
			err = checkStage(stage, i.rest)
		case stage == 0 && i.name == "ARG": // Names the image to build in, which is not used here.
		case stage == 1:
			err = r.build(i)
		case stage == 2:
			err = r.final(i)
		default:
			err = errors.New("it stands before the first stage")
		}
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", i.name, i.rest, err)
		}
	}
	if stage != 2 {
		return nil, fmt.Errorf("it has %d stages, not two", stage)
	}
	return r, nil
}

func checkStage(stage int, from string) error {
	switch {
	case stage == 1 && strings.HasSuffix(from, " AS build"), stage == 2 && from == "scratch":
		return nil
	}
	return errors.New("the stages must be one AS build, and one FROM scratch")
}

// instructions are those of a text, each with its continued lines.
func instructions(text string) (all []instruction) {
	flagged := regexp.MustCompile(`^--([a-z-]+)=(\S+)\s+`)
	comments := regexp.MustCompile(`(?m)^\s*#.*\n`)
	text = comments.ReplaceAllString(text, "")
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "" {
			continue
		}
		i := instruction{name: name, flags: map[string]string{}, rest: strings.TrimSpace(rest)}
		for match := flagged.FindStringSubmatch(i.rest); match != nil; match = flagged.FindStringSubmatch(i.rest) {
			i.flags[match[1]], i.rest = match[2], i.rest[len(match[0]):]
		}
		all = append(all, i)
	}
	return all
}

// build takes an instruction of the first stage. Its folder and copies are this repository; caches are this machine's.
func (r *recipe) build(i instruction) error {
	switch i.name {
	case "WORKDIR", "COPY":
	case "ARG":
		name, value, _ := strings.Cut(i.rest, "=")
		r.arguments = append(r.arguments, [2]string{name, value})
	case "RUN":
		r.commands = append(r.commands, i.rest)
	default:
		return errors.New("it cannot be carried out here")
	}
	return nil
}

// final takes an instruction of the last stage.
func (r *recipe) final(i instruction) (err error) {
	c := &r.config
	switch i.name {
	case "COPY":
		var one copied
		one, err = parseCopy(i)
		r.copies = append(r.copies, one)
	case "USER":
		c.User = i.rest
	case "WORKDIR":
		c.WorkingDir = i.rest
	case "ENV":
		if !regexp.MustCompile(`^[A-Z_]+=[^\s"']+$`).MatchString(i.rest) {
			return errors.New("it must be one NAME=value without quotes")
		}
		c.Env = append(c.Env, i.rest)
	case "EXPOSE":
		c.ExposedPorts[i.rest+"/tcp"] = struct{}{}
	case "VOLUME":
		var folders []string
		err = json.Unmarshal([]byte(i.rest), &folders)
		for _, folder := range folders {
			c.Volumes[folder] = struct{}{}
		}
	case "ENTRYPOINT":
		err = json.Unmarshal([]byte(i.rest), &c.Entrypoint)
	case "CMD":
		err = json.Unmarshal([]byte(i.rest), &c.Cmd)
	case "HEALTHCHECK":
		c.Healthcheck, err = parseHealthcheck(i)
	default:
		err = errors.New("it cannot be carried out here")
	}
	return err
}

func parseCopy(i instruction) (c copied, err error) {
	words := strings.Fields(i.rest)
	if i.flags["from"] != "build" || len(words) != 2 {
		return c, errors.New("it must be COPY --from=build SOURCE TARGET")
	}
	c.source, c.target = words[0], words[1]
	if c.mode, err = strconv.ParseInt(i.flags["chmod"], 8, 64); err != nil {
		return c, fmt.Errorf("--chmod must say the mode: %w", err)
	}
	if owner := i.flags["chown"]; owner != "" {
		if _, err = fmt.Sscanf(owner, "%d:%d", &c.uid, &c.gid); err != nil {
			return c, fmt.Errorf("--chown must be two numbers: %w", err)
		}
	}
	return c, nil
}

func parseHealthcheck(i instruction) (*healthcheck, error) {
	h := &healthcheck{}
	for name, target := range map[string]*time.Duration{"interval": &h.Interval, "timeout": &h.Timeout, "start-period": &h.StartPeriod} {
		if text, given := i.flags[name]; given {
			var err error
			if *target, err = time.ParseDuration(text); err != nil {
				return nil, fmt.Errorf("--%s: %w", name, err)
			}
		}
	}
	command, ok := strings.CutPrefix(i.rest, "CMD ")
	var words []string
	if err := json.Unmarshal([]byte(command), &words); !ok || err != nil {
		return nil, errors.New("it must be CMD and a list in JSON")
	}
	h.Test = append([]string{"CMD"}, words...)
	return h, nil
}

// variables are what the commands are given: the stage's arguments, the platform and the version.
func (r *recipe) variables(p platform, version string) (all []string) {
	for _, argument := range r.arguments {
		value := argument[1]
		switch {
		case argument[0] == "TARGETOS":
			value = p.OS
		case argument[0] == "TARGETARCH":
			value = p.Architecture
		case argument[0] == "VERSION" && version != "":
			value = version
		}
		all = append(all, argument[0]+"="+value)
	}
	return all
}

// configuration is the image's: what the Dockerfile says, and where it comes from.
func (r *recipe) configuration(o order, p platform, variables []string) imageConfig {
	c := r.config
	c.Labels = map[string]string{"org.opencontainers.image.title": "tierd", "dev.tierd.go": runtime.Version()}
	for _, v := range variables {
		if version, ok := strings.CutPrefix(v, "VERSION="); ok {
			c.Labels["org.opencontainers.image.version"] = version
		}
	}
	if o.revision != "" {
		c.Labels["org.opencontainers.image.revision"] = o.revision
	}
	return imageConfig{platform: p, Created: o.created.Format(time.RFC3339), Config: c}
}
