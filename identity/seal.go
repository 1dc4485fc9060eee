package identity

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrSealed is wrapped by Open where the key is not that which sealed, or the
// bytes were changed.
var ErrSealed = errors.New("cannot be opened with this key")

// SealFile is the name of the key that is made where none is given.
const SealFile = "seal.key"

const sealKeySize = 32

// Sealer encrypts what is written down and must not be read: private keys, with
// AES-256-GCM. Any goroutine.
type Sealer struct {
	aead cipher.AEAD
	// Made is the file of the key where OpenSealer made it, or found one that it
	// had made, "" where one was given: whoever can read the file can read the
	// keys.
	Made string
	name string // of the key, for errors
}

// NewSealer uses a key of 32 bytes.
func NewSealer(key []byte) (*Sealer, error) {
	if len(key) != sealKeySize {
		return nil, fmt.Errorf("a sealing key has %d bytes, not %d", sealKeySize, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append([]byte("naru sealing key name\x00"), key...))
	return &Sealer{aead: aead, name: hex.EncodeToString(sum[:4])}, nil
}

// OpenSealer reads the key in file: 32 bytes, or these in base64 or hexadecimal.
// With file "" it is SealFile in folder, made with mode 0600 where there is none.
func OpenSealer(file, folder string) (*Sealer, error) {
	if file != "" {
		return readSealer(file)
	}
	made := filepath.Join(folder, SealFile)
	s, err := readSealer(made)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeSealKey(folder, made); err == nil {
			s, err = readSealer(made)
		}
	}
	if err != nil {
		return nil, err
	}
	s.Made = made
	return s, nil
}

func readSealer(file string) (*Sealer, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("sealing key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("sealing key %s can be read by others (mode %04o): chmod 600 %s", file, info.Mode().Perm(), file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("sealing key: %w", err)
	}
	if len(text) != sealKeySize {
		trimmed := bytes.TrimSpace(text)
		if key, err := hex.DecodeString(string(trimmed)); err == nil && len(key) == sealKeySize {
			text = key
		} else if key, err := base64.StdEncoding.DecodeString(string(trimmed)); err == nil && len(key) == sealKeySize {
			text = key
		}
	}
	s, err := NewSealer(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w (write one with: openssl rand -hex 32)", file, err)
	}
	return s, nil
}

// makeSealKey writes a new key, unless somebody else is first.
func makeSealKey(folder, name string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("sealing key: %w", err)
	}
	key := make([]byte, sealKeySize)
	_, _ = rand.Read(key) // it does not fail
	temporary, err := os.CreateTemp(folder, ".seal-*")
	if err != nil {
		return fmt.Errorf("sealing key: %w", err)
	}
	defer func() { _ = os.Remove(temporary.Name()) }()
	_, err = temporary.Write([]byte(hex.EncodeToString(key) + "\n"))
	if err == nil {
		err = temporary.Sync()
	}
	if closed := temporary.Close(); err == nil {
		err = closed
	}
	if err == nil {
		// A link, in place of renaming, never replaces the key of another process.
		if err = os.Link(temporary.Name(), name); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("sealing key: %w", err)
	}
	return nil
}

// Seal encrypts. What it is for must be the same when it is opened.
func (s *Sealer) Seal(what string, plain []byte) []byte {
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(plain)+s.aead.Overhead())
	_, _ = rand.Read(nonce) // it does not fail
	return s.aead.Seal(nonce, nonce, plain, []byte(what))
}

// Open decrypts. Errors wrap ErrSealed.
func (s *Sealer) Open(what string, sealed []byte) ([]byte, error) {
	n := s.aead.NonceSize()
	if len(sealed) < n {
		return nil, fmt.Errorf("%s %w: it is cut off", what, ErrSealed)
	}
	plain, err := s.aead.Open(nil, sealed[:n], sealed[n:], []byte(what))
	if err != nil {
		return nil, fmt.Errorf("%s %w (key %s): it was sealed with another, or changed", what, ErrSealed, s.name)
	}
	return plain, nil
}
