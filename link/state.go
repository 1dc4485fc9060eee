package link

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/naru-mesh/naru/model"
)

// Files of State. Each is a line that says what it is, the sum of the rest, and
// the rest, sealed where Seal says so.
const (
	configurationFile = "configuration"
	nodeFile          = "node"
	stateMagic        = "naru link state 1\n"
	// saveQuiet is how long what changed may wait for the disk: a burst of
	// changes is written once.
	saveQuiet = 500 * time.Millisecond
)

// savedState is the last good configuration: the resources as they came, so
// that a newer naru reads in them what this one does not know.
type savedState struct {
	System string
	Server string
	Saved  int64 // Unix nanoseconds
	Frames []byte
}

// savedNode is the node's identity and what it believes.
type savedNode struct {
	Node    string
	Key     []byte // PKCS #8
	Chain   [][]byte
	Bundles *wireBundles
	Servers []string // that it has followed: the token which named them is needed once
}

// remember fills in what an earlier client was told and this one is not. What
// cannot be read load says.
func (c *Client) remember(o *ClientOptions) {
	if o.State == "" || len(o.Servers) > 0 && o.TrustDomain != "" {
		return
	}
	var n savedNode
	if c.read(nodeFile, &n) != nil || n.Node != o.Node {
		return
	}
	if len(o.Servers) == 0 {
		o.Servers = n.Servers
	}
	if bundles, _, err := readBundles(n.Bundles); err == nil {
		o.TrustDomain = cmpOr(o.TrustDomain, bundles.Own.TrustDomain)
	}
}

// load reads State. What cannot be read is said, and is as if it were not there.
func (c *Client) load() {
	if c.options.State == "" {
		return
	}
	var node savedNode
	if err := c.read(nodeFile, &node); err == nil {
		err = c.loadNode(&node)
		if err != nil {
			c.log.Error("link: the node's identity on disk is of no use", "folder", c.options.State, "err", err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		c.log.Error("link: the node's identity on disk cannot be read", "folder", c.options.State, "err", err)
	}
	var saved savedState
	err := c.read(configurationFile, &saved)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var list []Resource
	if err == nil {
		list, err = readFrames(string(saved.Frames))
	}
	if err != nil {
		c.log.Error("link: the last configuration on disk cannot be read", "folder", c.options.State, "err", err)
		return
	}
	if c.options.Sink != nil {
		return
	}
	refused, snapshot := c.set.apply(list, nil, &c.mu)
	c.snapshot = snapshot
	c.state.System, c.state.Applied, c.state.FromDisk = model.Version(saved.System), snapshot.Version, true
	c.state.Server, c.state.Changed, c.state.Refusals = saved.Server, time.Unix(0, saved.Saved), refused
}

func (c *Client) loadNode(n *savedNode) error {
	if n.Node != c.options.Node {
		return fmt.Errorf("it is of node %q, this is %q", n.Node, c.options.Node)
	}
	bundles, pool, err := readBundles(n.Bundles)
	if err != nil {
		return err
	}
	if bundles.Own.TrustDomain != c.options.TrustDomain {
		return fmt.Errorf("it is of trust domain %q, this is %q", bundles.Own.TrustDomain, c.options.TrustDomain)
	}
	c.bundles, c.wire, c.pool = bundles, n.Bundles, pool
	if len(n.Chain) == 0 {
		return nil
	}
	key, err := x509.ParsePKCS8PrivateKey(n.Key)
	if err != nil {
		return err
	}
	signer, ok := key.(crypto.Signer)
	leaf, _, err := parseChain(n.Chain)
	if err != nil || !ok {
		return errors.Join(err, errMalformed)
	}
	c.own = &ownIdentity{tls.Certificate{Certificate: n.Chain, PrivateKey: signer, Leaf: leaf}, n.Key}
	return nil
}

// saveNode writes identity and bundles at once: what comes next needs them.
func (c *Client) saveNode() {
	if c.options.State == "" {
		return
	}
	c.mu.Lock()
	n := savedNode{Node: c.options.Node, Bundles: c.wire, Servers: c.options.Servers}
	if c.own != nil {
		n.Key, n.Chain = c.own.key, c.own.certificate.Certificate
	}
	c.mu.Unlock()
	c.saved(c.write(nodeFile, &n))
}

// saver writes the configuration after it has changed, until ctx ends.
func (c *Client) saver(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			select {
			case <-c.save:
				c.saveConfiguration()
			default:
			}
			return
		case <-c.save:
		}
		pause(ctx, saveQuiet)
		c.saveConfiguration()
	}
}

func (c *Client) saveConfiguration() {
	if c.options.State == "" || c.options.Sink != nil {
		return
	}
	c.mu.Lock()
	changes := c.changes
	s := savedState{System: string(c.state.System), Server: c.state.Server, Saved: c.options.Now().UnixNano()}
	for n, h := range c.set.held {
		s.Frames = append(s.Frames, byte(n.Kind))
		s.Frames = binary.AppendUvarint(s.Frames, uint64(len(n.Name)))
		s.Frames = append(s.Frames, n.Name...)
		s.Frames = append(s.Frames, h.sum...)
		s.Frames = binary.AppendUvarint(s.Frames, uint64(len(h.body)))
		s.Frames = append(s.Frames, h.body...)
	}
	c.mu.Unlock()
	err := c.write(configurationFile, &s)
	c.saved(err)
	if err == nil {
		c.mu.Lock()
		c.onDisk = changes
		c.mu.Unlock()
	}
}

func (c *Client) saved(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	c.mu.Lock()
	was := c.state.SaveError
	c.state.SaveError = text
	c.mu.Unlock()
	if err != nil && was == "" {
		c.log.Error("link: what is known cannot be written to disk: after a restart without a control plane it is missing", "err", err)
	}
}

func (c *Client) read(name string, p any) error {
	raw, err := os.ReadFile(filepath.Join(c.options.State, name))
	if err != nil {
		return err
	}
	if len(raw) < len(stateMagic)+sha256.Size || string(raw[:len(stateMagic)]) != stateMagic {
		return fmt.Errorf("%s: it is not what naru writes", name)
	}
	raw = raw[len(stateMagic):]
	sum := [sha256.Size]byte(raw[:sha256.Size])
	raw = raw[sha256.Size:]
	if sha256.Sum256(raw) != sum {
		return fmt.Errorf("%s: it is damaged", name)
	}
	if c.options.Open != nil {
		if raw, err = c.options.Open(raw); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return decode(string(raw), p)
}

// write replaces a file whole, or leaves it as it is.
func (c *Client) write(name string, p any) (err error) {
	raw := encode(nil, p)
	if c.options.Seal != nil {
		if raw, err = c.options.Seal(raw); err != nil {
			return err
		}
	}
	sum := sha256.Sum256(raw)
	if err := os.MkdirAll(c.options.State, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(c.options.State, name+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // of no effect once it is renamed
	_, err = f.WriteString(stateMagic + string(sum[:]))
	if err == nil {
		_, err = f.Write(raw)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(c.options.State, name)); err != nil {
		return err
	}
	dir, err := os.Open(c.options.State)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
