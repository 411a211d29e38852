package main

import (
	"bytes"
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// folder is what the server pretends to hold below one prefix. It never changes.
type folder struct {
	value []byte
	kvs   []*mvccpb.KeyValue
}

// folderName finds the prefix of a key, and the count and size it names.
var folderName = regexp.MustCompile(`^.*-(\d+)x(\d+)/`)

// folders remembers each folder that was asked for, by its prefix.
type folders struct {
	byPrefix sync.Map // string -> *folder
}

// of returns the folder that holds a key, or is it.
func (f *folders) of(key []byte) (*folder, error) {
	// The prefix ends at the last slash; looking it up by the key's bytes allocates
	// nothing, which matters in a server that measures the least one can do.
	end := bytes.LastIndexByte(key, '/') + 1
	if found, ok := f.byPrefix.Load(string(key[:end])); ok {
		return found.(*folder), nil
	}
	match := folderName.FindSubmatch(key)
	if match == nil {
		return nil, fmt.Errorf("key %q names no size", key)
	}
	count, err := strconv.Atoi(string(match[1]))
	if err != nil {
		return nil, fmt.Errorf("count of key %q: %w", key, err)
	}
	size, err := strconv.Atoi(string(match[2]))
	if err != nil {
		return nil, fmt.Errorf("size of key %q: %w", key, err)
	}
	made, _ := f.byPrefix.LoadOrStore(string(key[:end]), newFolder(string(match[0]), count, size))
	return made.(*folder), nil
}

// newFolder fills a folder with keys of 64 bytes, as the load generator names them.
func newFolder(prefix string, count, size int) *folder {
	f := &folder{value: bytes.Repeat([]byte("v"), size)}
	for n := range count {
		f.kvs = append(f.kvs, f.kv(fmt.Appendf(nil, "%s%0*d", prefix, 64-len(prefix), n)))
	}
	return f
}

func (f *folder) kv(key []byte) *mvccpb.KeyValue {
	return &mvccpb.KeyValue{Key: key, Value: f.value, CreateRevision: 1000, ModRevision: 1000, Version: 1}
}

// from returns the keys that are not below start.
func (f *folder) from(start []byte) []*mvccpb.KeyValue {
	return f.kvs[sort.Search(len(f.kvs), func(i int) bool { return bytes.Compare(f.kvs[i].Key, start) >= 0 }):]
}
