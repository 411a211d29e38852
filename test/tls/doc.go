// Package tls tests what tierd does with TLS as operators and clients see it: real processes, real
// clients, certificates of the tests' own, and real etcd beside it as the one to be like. It promises that no way into
// a frontend asks less of a client than another one does.
package tls
