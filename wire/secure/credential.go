package secure

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/naru-mesh/naru/wire"
)

// Warning is something about a credential that its owner should know although
// it is used. ServerTLS.Reloaded may get one.
type Warning struct{ Text string }

func (w *Warning) Error() string { return w.Text }

// Usable tells a Warning from other errors where its type is not known.
func (w *Warning) Usable() bool { return true }

// Check reads a credential as Server would. err says why it cannot be used;
// otherwise warning, which may be nil, says what is doubtful at the time now
// (expired, not yet valid).
func Check(cfg wire.Credential, now time.Time) (warning *Warning, err error) {
	c := &certificate{cfg: cfg}
	if err := c.load(nil); err != nil {
		return nil, err
	}
	return c.warning(now), nil
}

// certificate is a credential that was read.
type certificate struct {
	cfg   wire.Credential
	pair  *tls.Certificate
	print [sha256.Size]byte // of chain and key, to see whether they changed
	label any               // cfg.Name, boxed once
	seen  sighting          // the files when they were last read
	// doubtful: the files, as seen, do not load; that is not reported yet.
	// reported: it is, and so will be that they are in order again.
	doubtful, reported bool
}

// names are those in it.
func (c *certificate) names() []string {
	if c.pair == nil {
		return nil
	}
	return c.pair.Leaf.DNSNames
}

func (c *certificate) fromFiles() bool { return c.cfg.ChainFile != "" || c.cfg.KeyFile != "" }

// load reads and parses; one among known with the same bytes is not parsed
// again. The error names the file and what is wrong with it.
func (c *certificate) load(known []*certificate) error {
	c.label = c.cfg.Name
	if c.cfg.Identity != "" {
		return c.ofIdentity()
	}
	chain, err := read("certificate", c.cfg.ChainFile, c.cfg.Chain)
	if err != nil {
		return err
	}
	key := chain // both may stand in one file
	if c.cfg.KeyFile != "" || len(c.cfg.Key) > 0 {
		if key, err = read("key", c.cfg.KeyFile, c.cfg.Key); err != nil {
			return err
		}
	}
	h := sha256.New()
	fmt.Fprintf(h, "%d %d\n", len(chain), len(key))
	h.Write(chain)
	h.Write(key)
	h.Sum(c.print[:0])
	for _, k := range known {
		if k.print == c.print {
			c.pair = k.pair
			return nil
		}
	}
	c.pair, err = parse(called("certificate", c.cfg.ChainFile), called("key", c.cfg.KeyFile), chain, key)
	return err
}

// ofIdentity checks a credential whose certificate comes from elsewhere.
func (c *certificate) ofIdentity() error {
	switch f := &c.cfg; {
	case f.Identities == nil:
		return fmt.Errorf("identity %s: nobody gives its certificate", f.Identity)
	case f.Hostname == "":
		return fmt.Errorf("identity %s: a hostname is needed, its certificate has none", f.Identity)
	case c.fromFiles() || len(f.Chain) > 0 || len(f.Key) > 0:
		return fmt.Errorf("identity %s: a certificate is given too", f.Identity)
	}
	return nil
}

// called is how messages name a part: by its file, if it has one.
func called(what, file string) string {
	if file == "" {
		return what
	}
	return what + " " + file
}

func read(what, file string, inline []byte) ([]byte, error) {
	if file == "" {
		return inline, nil
	}
	b, err := readRegular(file)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fmt.Errorf("%s: %w", called(what, file), err)
	}
	return b, nil
}

// readRegular refuses what is no regular file: opening a pipe waits for whoever
// writes into it, and a device may have no end.
func readRegular(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return nil, errors.New("is a pipe, a device or a socket, not a file")
	}
	return os.ReadFile(file)
}

func parse(chainName, keyName string, chain, key []byte) (*tls.Certificate, error) {
	first, err := firstBlock(chainName, chain, func(t string) bool { return t == "CERTIFICATE" }, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(first.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", chainName, err)
	}
	kb, err := firstBlock(keyName, key, func(t string) bool { return strings.HasSuffix(t, "PRIVATE KEY") }, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	if kb.Type == "ENCRYPTED PRIVATE KEY" || kb.Headers["DEK-Info"] != "" {
		return nil, fmt.Errorf("%s: is encrypted; a key without a passphrase is needed", keyName)
	}
	pair, err := tls.X509KeyPair(chain, key)
	switch {
	case err == nil:
		pair.Leaf = leaf
		return &pair, nil
	case strings.Contains(err.Error(), "does not match"):
		return nil, fmt.Errorf("%s: does not belong to %s (%s)", keyName, chainName, subject(leaf))
	}
	return nil, fmt.Errorf("%s: %s", keyName, strings.TrimPrefix(err.Error(), "tls: "))
}

// firstBlock finds the first PEM block that is wanted.
func firstBlock(name string, text []byte, wanted func(string) bool, what string) (*pem.Block, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, fmt.Errorf("%s: is empty", name)
	}
	var found []string
	for rest := text; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if wanted(b.Type) {
			return b, nil
		}
		found = append(found, b.Type)
	}
	if found == nil {
		return nil, fmt.Errorf("%s: no %s block in PEM", name, what)
	}
	return nil, fmt.Errorf("%s: no %s block in PEM, only %s", name, what, strings.Join(found, ", "))
}

// subject names a certificate for a person.
func subject(leaf *x509.Certificate) string {
	switch {
	case len(leaf.DNSNames) > 0:
		return "for " + strings.Join(leaf.DNSNames, ", ")
	case leaf.Subject.CommonName != "":
		return "for " + leaf.Subject.CommonName
	}
	return "serial " + leaf.SerialNumber.Text(16)
}

// warning says what is doubtful about a loaded certificate, nil if nothing.
func (c *certificate) warning(now time.Time) *Warning {
	if c.pair == nil {
		return nil
	}
	leaf, name := c.pair.Leaf, called("certificate", c.cfg.ChainFile)
	switch {
	case now.After(leaf.NotAfter):
		return &Warning{fmt.Sprintf("%s: expired on %s; it is used all the same", name, leaf.NotAfter.Format(time.DateOnly))}
	case now.Before(leaf.NotBefore):
		return &Warning{fmt.Sprintf("%s: is not valid before %s; it is used all the same", name, leaf.NotBefore.Format(time.DateOnly))}
	}
	return nil
}
