package docs

import (
	"fmt"
	"regexp"
	"strings"
)

// step is something of a page that is done.
type step struct {
	// line is where it begins in the page, from 1.
	line int
	// script is what bash runs; empty for a file.
	script string
	// path is the file that gets content; empty for a script.
	path, content string
	// output is what the script prints, if compared is set.
	output   string
	compared bool
}

// page is the text of a page while it is read.
type page struct {
	lines []string
	// next is the index of the line that is read next.
	next  int
	steps []step
}

// remark matches the comments that speak to this package.
func remark() *regexp.Regexp {
	return regexp.MustCompile(`^\s*<!-- (tried|file|not tried)(?:: (.*\S))? *-->\s*$`)
}

// parse finds the steps of a page, in their order. A page without any comment has none. The error
// names the line.
func parse(text string) ([]step, error) {
	p := page{lines: strings.Split(text, "\n")}
	unmarked := 0
	for comment := remark(); p.next < len(p.lines); {
		line := p.lines[p.next]
		p.next++
		if match := comment.FindStringSubmatch(line); match != nil {
			if err := p.obey(match[1], match[2]); err != nil {
				return nil, err
			}
			continue
		}
		if language, opens := fence(line); opens {
			if language == "sh" && unmarked == 0 {
				unmarked = p.next
			}
			if _, err := p.body(line); err != nil {
				return nil, err
			}
		}
	}
	if len(p.steps) > 0 && unmarked > 0 {
		return nil, fmt.Errorf("line %d: a sh fence that is neither tried nor said not to be", unmarked)
	}
	return p.steps, nil
}

// obey does what the comment says that was just read.
func (p *page) obey(verb, argument string) error {
	at := p.next
	if verb == "tried" && argument != "" {
		p.steps = append(p.steps, step{line: at, script: argument})
		return nil
	}
	if (verb == "tried") != (argument == "") {
		return fmt.Errorf("line %d: %q needs something behind the colon", at, verb)
	}
	language, content, err := p.fenced()
	switch {
	case err != nil:
		return err
	case verb == "file":
		p.steps = append(p.steps, step{line: at, path: argument, content: content})
		return nil
	case language != "sh":
		return fmt.Errorf("line %d: a fence of sh must follow, not of %q", at, language)
	case verb == "not tried":
		return nil
	}
	tried := step{line: at, script: content}
	if language, opens := p.peek(); opens && language == "text" {
		if _, tried.output, err = p.fenced(); err != nil {
			return err
		}
		tried.compared = true
	}
	p.steps = append(p.steps, tried)
	return nil
}

// peek says whether a fence follows, behind nothing but empty lines.
func (p *page) peek() (language string, opens bool) {
	for _, line := range p.lines[p.next:] {
		if strings.TrimSpace(line) != "" {
			return fence(line)
		}
	}
	return "", false
}

// fenced reads the fence that follows.
func (p *page) fenced() (language, content string, err error) {
	language, opens := p.peek()
	if !opens {
		return "", "", fmt.Errorf("line %d: no fence follows", p.next)
	}
	for strings.TrimSpace(p.lines[p.next]) == "" {
		p.next++
	}
	opening := p.lines[p.next]
	p.next++
	content, err = p.body(opening)
	return language, content, err
}

// body reads to the end of a fence, and takes the indentation of its first line from each line.
func (p *page) body(opening string) (string, error) {
	at, indent := p.next, opening[:strings.Index(opening, "```")]
	var content strings.Builder
	for p.next < len(p.lines) {
		line := p.lines[p.next]
		p.next++
		if strings.TrimSpace(line) == "```" {
			return content.String(), nil
		}
		content.WriteString(strings.TrimPrefix(line, indent) + "\n")
	}
	return "", fmt.Errorf("line %d: a fence that has no end", at)
}

// fence says whether a line opens a fence, and of what.
func fence(line string) (language string, opens bool) {
	return strings.CutPrefix(strings.TrimSpace(line), "```")
}

// matches says whether a program printed what the page says.
func matches(said, printed string) bool {
	var pattern strings.Builder
	pattern.WriteString(`\A`)
	for line := range strings.Lines(said) {
		line = strings.TrimRight(line, " \t\n")
		if strings.TrimSpace(line) == "..." {
			pattern.WriteString(`(?:[^\n]*\n)*?`)
			continue
		}
		parts := strings.Split(line, "...")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		pattern.WriteString(strings.Join(parts, `[^\n]*?`) + `[ \t\r]*\n`)
	}
	pattern.WriteString(`\z`)
	if printed != "" && !strings.HasSuffix(printed, "\n") {
		printed += "\n"
	}
	return regexp.MustCompile(pattern.String()).MatchString(printed)
}
