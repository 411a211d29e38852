package wire

// The versions that clients read to learn what an endpoint can do: the etcd
// release whose wire protocol this frontend speaks, and the versions that a
// cluster of that release reports. Kubernetes decides on them whether to use
// watch progress and streamed lists, so they only rise once those work.
const (
	EtcdVersion        = "3.7.3"
	EtcdClusterVersion = "3.7.0"
	EtcdStorageVersion = "3.7.0"
)
