package differential

import (
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/test/answers"
)

// refusals checks that what tierd refuses is refused by name and changes nothing.
func (g *game) refusals() {
	for method, reason := range answers.Refused() {
		request, err := answers.NewMessage(g.tierd.methods[method].Input())
		if err != nil {
			g.Fatal(err)
		}
		_, err = g.tierd.answer(g.Context(), call{method, request})
		if status.Code(err) != codes.Unimplemented || len(status.Convert(err).Message()) < 40 {
			g.Errorf("%s is answered with %v, want a sentence under Unimplemented, because %s", method, err, reason)
		}
		g.count(method, err)
	}
	g.both(call{pb.Maintenance_HashKV_FullMethodName, &pb.HashKVRequest{}})
}

// elsewhere says that a method is one that another test of this package compares:
// those of watches, and those of users and roles.
func elsewhere(method string) bool {
	return method == pb.Watch_Watch_FullMethodName || strings.HasPrefix(method, "/etcdserverpb.Auth/")
}

// Other differences, which the generator keeps clear of:
//
//   - A transaction that puts a key and deletes a range without an end that holds
//     it passes etcd's check for keys written twice, and etcd can crash on it. tierd
//     executes it (generator.ops).
//   - RangeStream with a sort target but no order: etcd sorts each message of the
//     stream and goes on after what is then the last key, so it can leave keys out.
//     tierd does not (generator.streamRequest).
//   - HashKV of a revision that was compacted at: a running etcd remembers ten such
//     hashes from before the compaction and forgets them when it restarts. tierd
//     answers as the restarted one (generator.hashRequest).
//   - Lowering an alarm for member 0: the protocol says that it covers all members,
//     which is what tierd does; etcd lowers that of a member whose id is 0
//     (generator.alarmRequest).
//   - Raising CORRUPT: on tierd every read and write is refused from then on, and
//     the alarm stays; etcd goes on answering reads, and can lower it
//     (game.corrupted).
//   - What a lease that is about to end answers depends on the clock of each system
//     (game.shortLease).
//   - The end of a watch shows the revision that its server has seen, which
//     others may have overtaken, as with several members of an etcd (watched.note).
//   - A watch that compaction ends is told so at any time, and etcd answers no
//     question about progress until the client has cancelled it (watched.catchUp).
//   - A password that is too long, in a change by somebody who may not make it: etcd
//     hashes first and finds that it cannot, tierd does no such work for others than
//     root (authGame.password).
