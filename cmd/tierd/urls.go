package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// listenURLs reads the URLs of a listener's flag. seen maps the addresses taken
// so far to the flag that took them.
func listenURLs(flag string, texts []string, seen map[string]string) ([]url.URL, error) {
	parsed := make([]url.URL, 0, len(texts))
	for _, text := range texts {
		u, err := parseURL(flag, strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		address := u.Host + u.Path
		if other, taken := seen[address]; taken && u.Port() != "0" {
			return nil, usage("%s and %s both name %s", other, flag, text)
		}
		seen[address] = flag
		parsed = append(parsed, *u)
	}
	return parsed, nil
}

// parseURL reads http://host:port or unix:///path, or the same with TLS as https or unixs.
func parseURL(flag, text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, usage("%s must be URLs such as %s, not %q", flag, defaultClientURL, text)
	}
	switch {
	case u.Scheme == "unix" || u.Scheme == "unixs":
		if u.Host+u.Path == "" {
			return nil, usage("%s %s names no socket", flag, text)
		}
		return u, nil
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, usage("%s must be URLs such as %s, not %q", flag, defaultClientURL, text)
	case (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, usage("%s %s must be nothing but %s://host:port", flag, text, u.Scheme)
	}
	if err := checkHostPort(u.Host); err != nil {
		return nil, usage("%s %s %v", flag, text, err)
	}
	u.Path = ""
	return u, nil
}

// checkHostPort wants a host, or an address in brackets, and a port.
func checkHostPort(text string) error {
	_, port, err := net.SplitHostPort(text)
	if err != nil || port == "" {
		return errors.New("has no port")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("has the port %s, which is not from 0 to 65535", port)
	}
	return nil
}

// advertisedURLs reads the URLs that clients are told. They may be https where none is listened
// on: a proxy in front may speak TLS.
func advertisedURLs(texts []string) ([]string, error) {
	const flag = "--advertise-client-urls"
	told := make([]string, 0, len(texts))
	for _, text := range texts {
		text = strings.TrimSpace(text)
		u, err := url.Parse(text)
		if err != nil || u.Host+u.Path == "" || (u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "unix" && u.Scheme != "unixs") {
			return nil, usage("%s must be URLs such as %s, not %q", flag, defaultClientURL, text)
		}
		if (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() == "" {
			return nil, usage("%s %s names no host", flag, text)
		}
		told = append(told, text)
	}
	return told, nil
}

// everyInterface tells whether a URL listens on all addresses of the machine.
func everyInterface(u url.URL) bool {
	if u.Scheme == "unix" || u.Scheme == "unixs" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "" || (ip != nil && ip.IsUnspecified())
}

// thisMachine tells whether only this machine reaches an address.
func thisMachine(u url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "unix" || u.Scheme == "unixs" || u.Hostname() == "localhost" || (ip != nil && ip.IsLoopback())
}
