package backup_test

import (
	"bytes"
	"io"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/archivetest"
	"github.com/tierd/tierd/router"
)

// put is a change that creates a key.
func put(revision router.Revision, value string) backup.Item {
	return backup.Item{Kind: backup.KindChange, Revision: revision, Version: router.Version{Main: revision, KV: &mvccpb.KeyValue{
		Key: []byte("key"), Value: []byte(value), CreateRevision: int64(revision), ModRevision: int64(revision), Version: 1,
	}}}
}

// reseal seals an object's plaintext under another name.
func reseal(body []byte, from, to string) []byte {
	plain, err := archivetest.Sealer{}.Open(from, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	var sealed bytes.Buffer
	w, err := archivetest.Sealer{}.Seal(to, &sealed)
	if err != nil {
		panic(err)
	}
	if _, err := io.Copy(w, plain); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return sealed.Bytes()
}
