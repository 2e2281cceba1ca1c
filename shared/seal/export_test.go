package seal

import "github.com/bobbindb/bobbin/shared/chat"

// AssociatedText is what a text is bound to.
var AssociatedText = associatedText

// Pack and Unpack are what happens to a text before it is sealed and after it is opened.
func (s *Sealer) Pack(text []byte) ([]byte, error)     { return s.pack(text) }
func (s *Sealer) Unpack(packed []byte) ([]byte, error) { return s.unpack(packed) }

// Kept is how many data keys the Sealer has unwrapped in memory.
func (s *Sealer) Kept() int { return s.dataKeys.Len() }

// Reseal replaces a sealed text by another under the same data key, as whoever held the
// key could.
func (s *Sealer) Reseal(user *UserKey, name chat.Name, key chat.DataKey, packed []byte) (chat.Sealed, error) {
	d, err := s.unwrapUnder(user, name.Thread, &key)
	if err != nil {
		return nil, err
	}
	a, err := d.aead()
	if err != nil {
		return nil, err
	}
	return a.Encrypt(packed, associatedText(s.store, name))
}
