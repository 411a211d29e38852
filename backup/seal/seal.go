// Package seal encrypts what is stored in the object tier, and proves on reading that it
// is what was stored there, under that name.
//
// Each object has a data key of its own, which is stored in the object's header,
// encrypted by a wrapping key. Wrapping keys are objects themselves, encrypted by the master key:
// a file, or a key of AWS KMS. So the master key is needed once per process, and
// a new one takes its place by encrypting the wrapping keys anew, without a byte of data being rewritten.
//
// What is read is proven piece by piece (1 MiB): a reader never sees a byte that is not
// authentic, and sees the end only if that is authentic, too. Whoever acts on the beginning of an
// object before its end has to be able to undo that.
//
// docs/archive-format.md has the formats, byte by byte.
package seal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	aead "github.com/tink-crypto/tink-go/v2/aead/subtle"
	stream "github.com/tink-crypto/tink-go/v2/streamingaead/subtle"
)

// What opening an object can be refused for. Both come with its name.
var (
	// ErrAltered: the object is not what was stored under that name: bytes of it were changed or
	// cut off, or it is another object.
	ErrAltered = errors.New("the object is altered")
	// ErrKey: the key that the object is encrypted with is not there, or is
	// encrypted by another master key than the one given.
	ErrKey = errors.New("the key does not fit")
)

const (
	objectMagic = "TIERDOBJ"
	// formatVersion is that of objects and of keys.
	formatVersion = 1

	keyBytes     = 32
	segmentBytes = 1 << 20
	// tagBytes end each segment; the stream's own header comes before the first.
	tagBytes          = stream.AESGCMHKDFTagSizeInBytes
	streamHeaderBytes = 1 + keyBytes + stream.AESGCMHKDFNoncePrefixSizeInBytes

	fixedHeaderBytes = len(objectMagic) + 1 + 8 + 2
	// wrappedBytesMax bounds the encrypted data key that a reader accepts.
	wrappedBytesMax = 1024
)

// header is the plain beginning of an object.
type header struct {
	key KeyID
	// wrapped is the encrypted data key.
	wrapped []byte
}

// fixed is the header without the data key; it is bound to it.
func (h header) fixed() []byte {
	b := append(make([]byte, 0, fixedHeaderBytes+wrappedBytesMax), objectMagic...)
	b = append(b, formatVersion)
	return binary.BigEndian.AppendUint64(b, uint64(h.key))
}

func (h header) bytes() []byte {
	b := binary.BigEndian.AppendUint16(h.fixed(), uint16(len(h.wrapped)))
	return append(b, h.wrapped...)
}

// readHeader reads the header and nothing after it. Errors of r are returned as they are.
func readHeader(r io.Reader) (header, error) {
	var fixed [fixedHeaderBytes]byte
	if _, err := io.ReadFull(r, fixed[:]); err != nil {
		return header{}, err
	}
	at := len(objectMagic)
	if string(fixed[:at]) != objectMagic {
		return header{}, errors.New("it does not begin like one")
	}
	if version := fixed[at]; version != formatVersion {
		return header{}, fmt.Errorf("it has format version %d, and this program reads %d", version, formatVersion)
	}
	h := header{key: KeyID(binary.BigEndian.Uint64(fixed[at+1:]))}
	length := binary.BigEndian.Uint16(fixed[at+9:])
	if length > wrappedBytesMax {
		return header{}, fmt.Errorf("its data key has %d bytes, more than %d", length, wrappedBytesMax)
	}
	h.wrapped = make([]byte, length)
	_, err := io.ReadFull(r, h.wrapped)
	return h, err
}

// associated is what an object is bound to besides its bytes: the beginning of its header, its
// keyspace and its name.
func associated(head []byte, keyspace, name string) ([]byte, error) {
	if len(keyspace) > math.MaxUint16 || len(name) > math.MaxUint16 {
		return nil, errors.New("the name is too long")
	}
	b := append([]byte(nil), head...)
	for _, text := range []string{keyspace, name} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(text)))
		b = append(b, text...)
	}
	return b, nil
}

// wrap encrypts a data key by a wrapping key.
func wrap(key, data, bound []byte) ([]byte, error) {
	cipher, err := aead.NewAESGCM(key)
	if err != nil {
		return nil, err
	}
	return cipher.Encrypt(data, bound)
}

func unwrap(key, wrapped, bound []byte) ([]byte, error) {
	cipher, err := aead.NewAESGCM(key)
	if err != nil {
		return nil, err
	}
	data, err := cipher.Decrypt(wrapped, bound)
	if err == nil && len(data) != keyBytes {
		return nil, errors.New("it is of another length")
	}
	return data, err
}

// streaming is the cipher of an object's content.
func streaming(dataKey []byte) (*stream.AESGCMHKDF, error) {
	return stream.NewAESGCMHKDF(dataKey, "SHA256", keyBytes, segmentBytes, 0)
}
