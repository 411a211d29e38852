package vault

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/xaesgcm"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/secretdata"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/tierd/tierd/router"
)

const (
	keyBytes  = 32
	saltBytes = 12
	// checkBytes of a hash tell a data key from another one of its number.
	checkBytes = 8
)

// dataKey seals values.
type dataKey struct {
	id     uint32
	check  string
	cipher tink.AEAD
}

func newDataKey(id uint32, raw []byte) (*dataKey, error) {
	if len(raw) != keyBytes {
		return nil, errors.New("it is of another length")
	}
	parameters, err := xaesgcm.NewParameters(xaesgcm.VariantTink, saltBytes)
	if err != nil {
		return nil, err
	}
	key, err := xaesgcm.NewKey(secretdata.NewBytesFromData(raw, insecuresecretdataaccess.Token{}), id, parameters)
	if err != nil {
		return nil, err
	}
	manager := keyset.NewManager()
	number, err := manager.AddKey(key)
	if err != nil {
		return nil, err
	}
	if err := manager.SetPrimary(number); err != nil {
		return nil, err
	}
	handle, err := manager.Handle()
	if err != nil {
		return nil, err
	}
	cipher, err := aead.New(handle)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(append([]byte("tierd value key\n"), raw...))
	return &dataKey{id: id, check: hex.EncodeToString(hash[:checkBytes]), cipher: cipher}, nil
}

// associated is what a sealed value is bound to.
func associated(keyspace string, key []byte) []byte {
	b := make([]byte, 0, len("tierd value")+3+len(keyspace)+len(key))
	b = append(b, "tierd value"...)
	b = append(b, formatVersion, byte(len(keyspace)))
	b = append(b, keyspace...)
	return append(b, key...)
}

func (k *dataKey) seal(keyspace string, key, value []byte) ([]byte, error) {
	return k.cipher.Encrypt(value, associated(keyspace, key))
}

func (k *dataKey) open(keyspace string, key, stored []byte) ([]byte, error) {
	value, err := k.cipher.Decrypt(stored, associated(keyspace, key))
	if err != nil {
		// The library's words say no more than this.
		return nil, fmt.Errorf("%w: it is not what was sealed for this key with data key %d", router.ErrSealAltered, k.id)
	}
	return value, nil
}
