package keyring

// Doors for tests.
var (
	DecodeKEK    = decodeKEK
	DecodeUser   = decodeUser
	ParseKEKKey  = parseKEKKey
	ParseUserKey = parseUserKey
)

// Records as they are stored.
type (
	KEKRecord  = kekRecord
	UserRecord = userRecord
)

// Encode is the record's bytes.
func (k *kekRecord) Encode() []byte { return k.encode() }

// Encode is the record's bytes.
func (u *userRecord) Encode() []byte { return u.encode() }

// KEK is the version that the key is under, 0 for a dead one.
func (u *userRecord) KEK() Version { return u.kek }

// Erased reports whether the key is dead.
func (u *userRecord) Erased() bool { return u.erased }

// NewKEKRecord is a KEK's record, of one that is retired where nothing is wrapped.
func NewKEKRecord(v Version, at int64, keeper string, wrapped []byte) *KEKRecord {
	return &kekRecord{version: v, time: at, keeper: keeper, wrapped: wrapped, retired: wrapped == nil, nonce: [nonceSize]byte{0xaa}}
}

// NewUserRecord is a user key's record, of one that is erased where nothing is wrapped.
func NewUserRecord(v Version, at int64, wrapped []byte) *UserRecord {
	return &userRecord{kek: v, wrapped: wrapped, time: at, erased: wrapped == nil, nonce: [nonceSize]byte{0xbb}}
}
