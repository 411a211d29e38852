package load

import pb "go.etcd.io/etcd/api/v3/etcdserverpb"

// plan is what one watcher does: a stream with some watches on it.
type plan struct {
	watches []*pb.WatchCreateRequest
	// begin is where the first session starts: 0 is at the present.
	begin int64
	// everything says that compaction stays behind this watcher.
	everything bool
	// wanders says that each session starts anywhere in the past.
	wanders bool
}

// plans are the watchers of a run. Two follow everything from the beginning on, so
// that the whole list of events is known in the end.
func plans() []plan {
	all := func() *pb.WatchCreateRequest { return &pb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0}} }
	withPrevious := func(r *pb.WatchCreateRequest) *pb.WatchCreateRequest { r.PrevKv = true; return r }
	withProgress := func(r *pb.WatchCreateRequest) *pb.WatchCreateRequest { r.ProgressNotify = true; return r }
	only := func(r *pb.WatchCreateRequest, f pb.WatchCreateRequest_FilterType) *pb.WatchCreateRequest {
		r.Filters = []pb.WatchCreateRequest_FilterType{f}
		return r
	}
	a := func() *pb.WatchCreateRequest {
		return &pb.WatchCreateRequest{Key: []byte("a/"), RangeEnd: []byte("a0")}
	}
	b := func() *pb.WatchCreateRequest {
		return &pb.WatchCreateRequest{Key: []byte("b/"), RangeEnd: []byte("b0")}
	}
	one := func(key string) *pb.WatchCreateRequest { return &pb.WatchCreateRequest{Key: []byte(key)} }
	return []plan{
		{watches: []*pb.WatchCreateRequest{withPrevious(all())}, begin: 2, everything: true},
		{watches: []*pb.WatchCreateRequest{withProgress(all())}, begin: 1, everything: true},
		{watches: []*pb.WatchCreateRequest{withPrevious(a()), only(b(), pb.WatchCreateRequest_NOPUT), one("a/\x00")}, begin: 1},
		{watches: []*pb.WatchCreateRequest{withProgress(withPrevious(one("b/\xff")))}},
		{watches: []*pb.WatchCreateRequest{withPrevious(all()), withProgress(b())}, wanders: true},
		{watches: []*pb.WatchCreateRequest{only(withProgress(all()), pb.WatchCreateRequest_NODELETE), withPrevious(a())}},
	}
}
