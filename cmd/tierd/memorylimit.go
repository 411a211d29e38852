package main

import (
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// memoryLimit is the memory that this process and those beside it in its container
// may use, in bytes; 0 if there is no limit or it cannot be told. root is the root
// of the file system. A limit holds for all groups below the one it is set on, and
// inside a container the path of the group may begin outside: so each directory on
// the way up is looked at.
func memoryLimit(root fs.FS) uint64 {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0 // not Linux
	}
	var limit uint64
	for line := range strings.Lines(string(text)) {
		// "hierarchy-id:controllers:path"
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		mount, file := "sys/fs/cgroup", "memory.max"
		if fields[0] != "0" {
			mount, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
			if !slices.Contains(strings.Split(fields[1], ","), "memory") {
				continue
			}
		}
		for dir := path.Join("/", fields[2]); ; dir = path.Dir(dir) {
			limit = lesserLimit(limit, root, path.Join(mount, dir, file))
			if dir == "/" {
				break
			}
		}
	}
	return limit
}

// lesserLimit is the lesser of a limit and the one in a file, which may hold none
// ("max") or not exist.
func lesserLimit(limit uint64, root fs.FS, file string) uint64 {
	text, err := fs.ReadFile(root, file)
	if err != nil {
		return limit
	}
	found, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || found == 0 || (limit > 0 && limit < found) {
		return limit
	}
	return found
}
