package hostile

import (
	"math"
	"math/rand/v2"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// nestingMax is how deep random messages nest.
const nestingMax = 4

// hostileBytes are keys, values and names that could be taken for something else: by
// code that ends strings at NUL or takes bytes for text, by range ends that overflow,
// and by the indexes, scripts and protocol of Redis (docs/formats.md).
func hostileBytes() [][]byte {
	texts := []string{
		"", "\x00", "\x00\x00", "\x00\x01", "\x00\xff", "\xff", "\xff\xff", "\xff\x00", "\xff\xff\xff\xff\xff\xff\xff\xff",
		"a", "a\x00", "a\x00\x01", "a\x00\xff", "a\x00\xff\x00\x01", "a\xff", "a/", "a0", "b", "é", "\xc3\x28",
		"a\x00\x01\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00",
		"a\x00\x02\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00",
		"1", "1:1", "tail", "revision", "corrupt", "{default:seq}:rec", "default:seq", "{", "}",
		"+", "-", "[a", "(a", "+inf", "-inf", "*", "?", "[a-z]", "%z", "%s", "%d%n", "\\", "\"", "'", "\r\n",
		"*1\r\n$8\r\nFLUSHALL\r\n", "return redis.call('FLUSHALL')", strings.Repeat("k", 300), strings.Repeat("\xff", 300),
	}
	all := make([][]byte, len(texts))
	for i, text := range texts {
		all[i] = []byte(text)
	}
	return all
}

// giants are numbers at the edges of what numbers are kept in.
func giants() []int64 {
	return []int64{math.MinInt64, math.MinInt64 + 1, math.MinInt32, -1 << 53, -2, -1, 0, 1, 2, 255, 256, 65535, 65536,
		math.MaxInt32, math.MaxUint32, 1 << 53, 1<<53 + 1, 1<<56 - 1, 1 << 56, math.MaxInt64 - 1, math.MaxInt64}
}

// filler fills messages at random.
type filler struct {
	*rand.Rand
	bytes   [][]byte
	numbers []int64
}

func newFiller(random *rand.Rand) *filler {
	return &filler{Rand: random, bytes: hostileBytes(), numbers: giants()}
}

// fill sets each field of a message, or does not.
func (f *filler) fill(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		switch {
		case f.IntN(3) == 0, field.IsMap():
		case field.IsList():
			list := m.Mutable(field).List()
			for range f.IntN(4) {
				if field.Kind() == protoreflect.MessageKind {
					if depth > 0 {
						f.fill(list.AppendMutable().Message(), depth-1)
					}
				} else {
					list.Append(f.scalar(field))
				}
			}
		case field.Kind() == protoreflect.MessageKind:
			if depth > 0 {
				f.fill(m.Mutable(field).Message(), depth-1)
			}
		default:
			m.Set(field, f.scalar(field))
		}
	}
}

// scalar is a value for a field: mostly a small one, so that requests meet.
func (f *filler) scalar(field protoreflect.FieldDescriptor) protoreflect.Value {
	number := f.Int64N(8)
	if f.IntN(6) == 0 {
		number = f.numbers[f.IntN(len(f.numbers))]
	}
	switch field.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(f.IntN(2) == 0)
	case protoreflect.EnumKind:
		values := field.Enum().Values()
		if f.IntN(20) == 0 {
			return protoreflect.ValueOfEnum(protoreflect.EnumNumber(number))
		}
		return protoreflect.ValueOfEnum(values.Get(f.IntN(values.Len())).Number())
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(f.bytes[f.IntN(len(f.bytes))])
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(strings.ToValidUTF8(string(f.bytes[f.IntN(len(f.bytes))]), "?"))
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(number))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(number))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(uint64(number))
	}
	return protoreflect.ValueOfInt64(number)
}

// mutate damages the bytes of a message.
func (f *filler) mutate(data []byte) []byte {
	data = append([]byte(nil), data...)
	for range 1 + f.IntN(3) {
		at := f.IntN(len(data) + 1)
		switch f.IntN(8) {
		case 0: // cut off
			data = data[:at]
		case 1: // a bit flipped
			if at < len(data) {
				data[at] ^= 1 << f.IntN(8)
			}
		case 2: // any byte
			if at < len(data) {
				data[at] = byte(f.IntN(256))
			}
		case 3: // some bytes put in
			extra := f.bytes[f.IntN(len(f.bytes))]
			data = append(data[:at:at], append(extra[:min(len(extra), 20):min(len(extra), 20)], data[at:]...)...)
		case 4: // some taken out
			data = append(data[:at:at], data[min(len(data), at+1+f.IntN(8)):]...)
		case 5: // a part twice
			data = append(data[:at:at], data[at/2:]...)
		case 6: // a number longer than any can be
			data = append(data[:at:at], append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, data[at:]...)...)
		case 7: // an unknown field, or the beginning of a group that never ends
			data = append(data, [][]byte{{0xfa, 0x3f, 1, 'x'}, {0xc0, 0x3e, 5}, {0x0b}, {0xfb, 0x3f}, {0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f}}[f.IntN(5)]...)
		}
	}
	return data
}
