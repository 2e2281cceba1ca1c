package seal

import (
	"sync"

	"github.com/klauspost/compress/zstd"
)

// The first byte of a packed text.
const (
	packedRaw  byte = 0
	packedZstd byte = 1
)

const (
	// smallText is the size under which compressing a text is not tried.
	smallText = 128
	// saving is how many bytes a compressed text must be shorter to be kept so.
	saving = 32
	// largeText is the size over which a text stays as it is, so that no text grows
	// past it when it is opened.
	largeText = 64 << 20
)

// packer compresses texts before they are sealed. Its coders are made when they are
// first needed: who only reads short texts pays for none.
type packer struct {
	encoder func() (*zstd.Encoder, error)
	decoder func() (*zstd.Decoder, error)
}

func newPacker() packer {
	return packer{
		encoder: sync.OnceValues(func() (*zstd.Encoder, error) {
			// The tag guards the frame, so it carries no checksum of its own.
			return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
				zstd.WithEncoderCRC(false), zstd.WithWindowSize(512<<10), zstd.WithLowerEncoderMem(true))
		}),
		decoder: sync.OnceValues(func() (*zstd.Decoder, error) {
			return zstd.NewReader(nil, zstd.WithDecoderMaxMemory(largeText), zstd.WithDecoderLowmem(true))
		}),
	}
}

// pack is the text behind the byte that says how it is stored.
func (p packer) pack(text []byte) ([]byte, error) {
	packed := append(make([]byte, 0, packSize+len(text)+tagSize), packedRaw)
	if len(text) >= smallText && len(text) <= largeText {
		encoder, err := p.encoder()
		if err != nil {
			return nil, err
		}
		packed[0] = packedZstd
		packed = encoder.EncodeAll(text, packed)
		if len(packed) <= packSize+len(text)-saving {
			return packed, nil
		}
		packed = append(packed[:0], packedRaw)
	}
	return append(packed, text...), nil
}

// unpack is the text of what pack made; it may alias packed.
func (p packer) unpack(packed []byte) ([]byte, error) {
	if len(packed) < packSize {
		return nil, ErrDamaged
	}
	switch packed[0] {
	case packedRaw:
		return packed[packSize:], nil
	case packedZstd:
		decoder, err := p.decoder()
		if err != nil {
			return nil, err
		}
		text, err := decoder.DecodeAll(packed[packSize:], nil)
		if err != nil {
			return nil, ErrDamaged
		}
		return text, nil
	}
	return nil, ErrDamaged
}
