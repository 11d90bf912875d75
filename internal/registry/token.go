package registry

import (
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"slices"
	"strings"
)

// tokenPrefix of each kind, so that secret scanners find a leaked token and tell what it opens.
var tokenPrefix = map[TokenKind]string{
	PersonalToken: "php_",
	DeployToken:   "phd_",
	JobToken:      "phj_",
	ResourceToken: "phg_",
}

const (
	base62       = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	secretLength = 32 // characters, 190 bits
	checkLength  = 6  // characters, a CRC-32 of what stands before them
)

// NewTokenText makes the text of a token: prefix, 32 random characters, 6 of checksum, all base 62.
func NewTokenText(kind TokenKind) string {
	secret := make([]byte, 0, secretLength)
	for random := make([]byte, 1); len(secret) < secretLength; {
		rand.Read(random) // never fails, says crypto/rand
		if n := random[0] & 63; n < 62 {
			secret = append(secret, base62[n])
		}
	}
	text := tokenPrefix[kind] + string(secret)
	return text + tokenChecksum(text)
}

// checkDigits are those of the checksum.
const checkDigits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

func tokenChecksum(text string) string {
	sum := crc32.ChecksumIEEE([]byte(text))
	var check [checkLength]byte
	for i := range slices.Backward(check[:]) {
		check[i] = checkDigits[sum%62]
		sum /= 62
	}
	return string(check[:])
}

// PlausibleToken tells whether text can be a token at all: one with our prefix must carry its checksum, so that a
// typo is told without a look-up. Texts without a prefix are chosen by an administrator and say nothing.
func PlausibleToken(text string) bool {
	for _, prefix := range tokenPrefix {
		if strings.HasPrefix(text, prefix) {
			at := len(text) - checkLength
			return at == len(prefix)+secretLength && tokenChecksum(text[:at]) == text[at:]
		}
	}
	return text != ""
}

// HashToken is what is stored of a token. The text has enough entropy that a plain SHA-256 cannot be searched.
func HashToken(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}
