package agent

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/naru-mesh/naru/identity"
)

// Files in the folder. Each is sealed as a whole: who cannot read the key can
// neither read nor change what is trusted.
const (
	svidSuffix  = ".svid"
	bundlesFile = "bundles"
)

// writtenSVID is what a file of an SVID says.
type writtenSVID struct {
	ID    identity.ID `json:"id"`
	Chain [][]byte    `json:"chain"` // DER
	Key   []byte      `json:"key"`   // PKCS #8
	Got   time.Time   `json:"got"`
}

// writtenBundle is one bundle of the file of them, our own first.
type writtenBundle struct {
	TrustDomain string          `json:"trustDomain"`
	Document    json.RawMessage `json:"document"`
	// Forgotten stands at our own.
	Forgotten []identity.Forgotten `json:"forgotten,omitempty"`
}

// prepareFolder makes the folder, and removes what expired.
func (a *Agent) prepareFolder() error {
	if err := os.MkdirAll(a.opt.Folder, 0o700); err != nil {
		return err
	}
	files, err := os.ReadDir(a.opt.Folder)
	if err != nil {
		return err
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), svidSuffix) {
			continue
		}
		name := filepath.Join(a.opt.Folder, f.Name())
		w, err := a.readWritten(name)
		if err != nil {
			a.log.Warn("an identity on the disk is not usable; another is asked for", "file", name, "err", err)
			continue
		}
		if leaf, err := x509.ParseCertificate(w.Chain[0]); err == nil && time.Now().After(leaf.NotAfter) {
			_ = os.Remove(name)
		}
	}
	return nil
}

func (a *Agent) svidFile(id identity.ID) string {
	sum := sha256.Sum256([]byte(id))
	return filepath.Join(a.opt.Folder, hex.EncodeToString(sum[:16])+svidSuffix)
}

func (a *Agent) readWritten(name string) (*writtenSVID, error) {
	sealed, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	text, err := a.opt.Sealer.Open("an identity", sealed)
	if err != nil {
		return nil, err
	}
	var w writtenSVID
	if err := json.Unmarshal(text, &w); err != nil {
		return nil, err
	}
	if len(w.Chain) == 0 {
		return nil, errors.New("it has no certificate")
	}
	return &w, nil
}

// readSVID gives what is written of id, nil where nothing usable is.
func (a *Agent) readSVID(id identity.ID) *held {
	if a.opt.Folder == "" {
		return nil
	}
	name := a.svidFile(id)
	h, err := a.restore(id, name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			a.log.Warn("an identity on the disk is not usable; another is asked for", "identity", string(id), "file", name, "err", err)
		}
		return nil
	}
	return h
}

func (a *Agent) restore(id identity.ID, name string) (*held, error) {
	w, err := a.readWritten(name)
	if err != nil {
		return nil, err
	}
	if w.ID != id {
		return nil, fmt.Errorf("it is of %s", w.ID)
	}
	chain, err := parseChain(w.Chain)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(w.Key)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(crypto.Signer)
	if !ok || !sameKey(chain[0], key) {
		return nil, errors.New("its key is another's")
	}
	if got, err := identity.LeafID(chain[0]); err != nil || got != id {
		return nil, fmt.Errorf("its certificate is of %q: %w", got, err)
	}
	if !time.Now().Before(chain[0].NotAfter) {
		return nil, fmt.Errorf("it expired at %s", chain[0].NotAfter.UTC().Format(time.RFC3339))
	}
	return newHeld(id, chain, key, w.Got), nil
}

// writeSVID keeps h on the disk. A disk that is full is said, and no more:
// what is in memory serves.
func (a *Agent) writeSVID(h *held) {
	if a.opt.Folder == "" {
		return
	}
	key, err := x509.MarshalPKCS8PrivateKey(h.svid.Key)
	if err == nil {
		err = a.write(a.svidFile(h.svid.ID), "an identity", writtenSVID{ID: h.svid.ID, Chain: h.shown.Certificate, Key: key, Got: h.got})
	}
	if err != nil {
		a.counts.unwritten.Add(1)
		a.log.Warn("an identity is not written to the disk; it serves, but not after a restart", "identity", string(h.svid.ID), "err", err)
	}
}

func (a *Agent) readBundles() *identity.Bundles {
	b, err := a.restoreBundles()
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			a.log.Warn("the bundles on the disk are not usable; the authority is asked", "err", err)
		}
		return nil
	}
	return b
}

func (a *Agent) restoreBundles() (*identity.Bundles, error) {
	sealed, err := os.ReadFile(filepath.Join(a.opt.Folder, bundlesFile))
	if err != nil {
		return nil, err
	}
	text, err := a.opt.Sealer.Open(bundlesFile, sealed)
	if err != nil {
		return nil, err
	}
	var list []writtenBundle
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errors.New("there is none")
	}
	all := &identity.Bundles{}
	for i, w := range list {
		b, err := identity.ParseBundle(w.TrustDomain, w.Document)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			all.Own, all.Forgotten = b, w.Forgotten
		} else {
			all.Federated = append(all.Federated, b)
		}
	}
	return all, nil
}

func (a *Agent) writeBundles(b *identity.Bundles) {
	if a.opt.Folder == "" {
		return
	}
	var list []writtenBundle
	var err error
	for _, x := range b.All() {
		var doc []byte
		if doc, err = x.Document(); err != nil {
			break
		}
		list = append(list, writtenBundle{TrustDomain: x.TrustDomain, Document: doc})
	}
	if err == nil && b.Own != nil {
		list[0].Forgotten = b.Forgotten
	}
	if err == nil {
		err = a.write(filepath.Join(a.opt.Folder, bundlesFile), bundlesFile, list)
	}
	if err != nil {
		a.counts.unwritten.Add(1)
		a.log.Warn("the bundles are not written to the disk; they serve, but not after a restart", "err", err)
	}
}

// write replaces a file as a whole: a crash leaves the old or the new.
func (a *Agent) write(name, what string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(a.opt.Folder, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(a.opt.Sealer.Seal(what, text))
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
