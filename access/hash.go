package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Algorithm is how a password was hashed.
type Algorithm string

// Algorithms. The salted ones are called as RabbitMQ calls them.
const (
	Argon2id Algorithm = "argon2id"
	SHA256   Algorithm = "rabbit_password_hashing_sha256"
	SHA512   Algorithm = "rabbit_password_hashing_sha512"
)

// Hash is a hashed password. The zero value fits no password.
type Hash struct {
	// Text is the hash as the management API shows it: for Argon2id a string of
	// the usual form, for the others the base64 of four bytes of salt and the sum.
	Text      string
	Algorithm Algorithm
}

// cost says how dear an argon2id hash is.
type cost struct {
	memory uint32 // KiB
	time   uint32
	lanes  uint8
}

// usual is what OWASP recommends at least.
var usual = cost{memory: 19 << 10, time: 2, lanes: 1}

const (
	saltSize    = 16
	sumSize     = 32
	rabbitSalt  = 4
	maxHashText = 512
)

// HashPassword hashes a password with a new salt.
func HashPassword(password string) Hash { return usual.hash(password) }

// HashKnown is HashPassword for a password that everybody knows anyway: it costs
// nearly nothing.
func HashKnown(password string) Hash { return cost{memory: 8, time: 1, lanes: 1}.hash(password) }

func (c cost) hash(password string) Hash {
	salt := make([]byte, saltSize)
	rand.Read(salt)
	return c.text(salt, c.sum(password, salt, sumSize))
}

func (c cost) text(salt, sum []byte) Hash {
	return Hash{Algorithm: Argon2id, Text: fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.memory, c.time, c.lanes,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum))}
}

// sums has one value for each sum that is being made. Each takes its memory: a hundred
// users who are made at once must not take a hundred times that.
var sums = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)))

// summing is told by tests when a sum begins and when it ends.
var summing = func(begins bool) {}

func (c cost) sum(password string, salt []byte, size int) []byte {
	sums <- struct{}{}
	defer func() { <-sums }()
	summing(true)
	defer summing(false)
	return argon2.IDKey([]byte(password), salt, c.time, c.memory, c.lanes, uint32(size))
}

// parsed is a hash taken apart.
type parsed struct {
	algorithm Algorithm
	cost      cost
	salt, sum []byte
}

var errHash = errors.New("the password hash is malformed")

// ParseHash checks a hash that comes from elsewhere. Without an algorithm it is
// told from the text: a string that begins with $argon2id$, else SHA256. The empty
// text is the zero Hash. That of Argon2id may be in base64, as definitions have it.
func ParseHash(text string, algorithm Algorithm) (Hash, error) {
	if text == "" {
		return Hash{}, nil
	}
	if algorithm == "" {
		algorithm = SHA256
		if strings.HasPrefix(text, "$argon2id$") {
			algorithm = Argon2id
		}
	}
	if decoded, err := base64.StdEncoding.DecodeString(text); err == nil && algorithm == Argon2id {
		text = string(decoded)
	}
	h := Hash{Text: text, Algorithm: algorithm}
	_, err := h.parse()
	if err != nil {
		return Hash{}, err
	}
	return h, nil
}

func (h Hash) parse() (parsed, error) {
	p := parsed{algorithm: h.Algorithm}
	if len(h.Text) > maxHashText {
		return p, errHash
	}
	size := 0
	switch h.Algorithm {
	case Argon2id:
		return p, p.argon(h.Text)
	case SHA256:
		size = sha256.Size
	case SHA512:
		size = sha512.Size
	default:
		return p, fmt.Errorf("there is no password hash '%s': there are %s, %s and %s", h.Algorithm, Argon2id, SHA256, SHA512)
	}
	raw, err := base64.StdEncoding.DecodeString(h.Text)
	if err != nil || len(raw) != rabbitSalt+size {
		return p, errHash
	}
	p.salt, p.sum = raw[:rabbitSalt], raw[rabbitSalt:]
	return p, nil
}

// Bounds of what a foreign argon2id hash may ask for: checking it must not be a way
// to bring the broker down.
const (
	maxMemory = 256 << 10 // KiB
	maxTime   = 16
	maxLanes  = 16
)

func (p *parsed) argon(text string) error {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return errHash
	}
	c := &p.cost
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &c.memory, &c.time, &c.lanes); err != nil || parts[3] != fmt.Sprintf("m=%d,t=%d,p=%d", c.memory, c.time, c.lanes) {
		return errHash
	}
	if c.lanes < 1 || c.lanes > maxLanes || c.time < 1 || c.time > maxTime || c.memory < 8*uint32(c.lanes) || c.memory > maxMemory {
		return fmt.Errorf("the password hash asks for m=%d,t=%d,p=%d: at most %d,%d,%d is taken", c.memory, c.time, c.lanes, maxMemory, maxTime, maxLanes)
	}
	var err error
	if p.salt, err = base64.RawStdEncoding.Strict().DecodeString(parts[4]); err != nil || len(p.salt) < 8 {
		return errHash
	}
	if p.sum, err = base64.RawStdEncoding.Strict().DecodeString(parts[5]); err != nil || len(p.sum) < 16 {
		return errHash
	}
	return nil
}

// cheap tells that a check costs less than one of a hash that is made here.
func (h Hash) cheap() bool {
	p, err := h.parse()
	return err != nil || p.algorithm != Argon2id || uint64(p.cost.memory)*uint64(p.cost.time) < uint64(usual.memory)*uint64(usual.time)
}

// Verify tells whether the hash is that of a password. It takes as long as the
// hash is costly, whatever the answer.
func (h Hash) Verify(password string) bool {
	p, err := h.parse()
	if err != nil || h.Text == "" {
		return false
	}
	var sum []byte
	switch p.algorithm {
	case Argon2id:
		sum = p.cost.sum(password, p.salt, len(p.sum))
	case SHA256:
		s := sha256.Sum256(append(p.salt[:rabbitSalt:rabbitSalt], password...))
		sum = s[:]
	case SHA512:
		s := sha512.Sum512(append(p.salt[:rabbitSalt:rabbitSalt], password...))
		sum = s[:]
	}
	return subtle.ConstantTimeCompare(sum, p.sum) == 1
}
