package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/store/etcd"
)

// TestStateRefused says what is wrong with where the state is to be.
func TestStateRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, text := filepath.Join(dir, "seal.key"), filepath.Join(dir, "text")
	for file, what := range map[string]string{key: strings.Repeat("5e", 32), text: "hello"} {
		if err := os.WriteFile(file, []byte(what), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	outside := []string{"https://127.0.0.1:1"}
	for want, o := range map[string]MeshOptions{
		"--etcd and --peer exclude each other": {SealKey: key, Data: dir, State: StateOptions{Etcd: outside, Peers: []string{"a=https://127.0.0.1:1"}}},
		"--seal-key FILE":                      {State: StateOptions{Etcd: outside}},
		"--data FOLDER":                        {SealKey: key, State: StateOptions{Peers: []string{"a=https://127.0.0.1:1"}}},
		"--peer a: write NAME=URL":             {SealKey: key, Data: dir, State: StateOptions{Peers: []string{"a"}}},
		"there are two of that name":           {SealKey: key, Data: dir, State: StateOptions{Peers: []string{"a=https://127.0.0.1:1", "a=https://127.0.0.1:2"}}},
		`"b" is not among the peers a`:         {Node: "b", SealKey: key, Data: dir, State: StateOptions{Peers: []string{"a=http://127.0.0.1:1"}}},
		"go with --peer NAME=URL":              {State: StateOptions{Join: true}},
		"go with --etcd URL":                   {State: StateOptions{EtcdFiles: etcd.Files{CA: text}}},
		"only " + text + " is given":           {SealKey: key, State: StateOptions{Etcd: outside, EtcdFiles: etcd.Files{Cert: text}}},
		"there is no certificate in it":        {SealKey: key, State: StateOptions{Etcd: outside, EtcdFiles: etcd.Files{CA: text}}},
		"--etcd-cert " + text:                  {SealKey: key, State: StateOptions{Etcd: outside, EtcdFiles: etcd.Files{Cert: text, Key: text}}},
		"is without TLS":                       {SealKey: key, State: StateOptions{Etcd: []string{"https://127.0.0.1:1", "http://127.0.0.1:2"}}},
		"in the clear":                         {SealKey: key, State: StateOptions{Etcd: []string{"http://192.0.2.1:1"}}},
	} {
		s, _, err := openState(&o, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
		if s != nil {
			_ = s.Close()
		}
	}
	// Alone it is embedded, or in memory.
	s, sealer, err := openState(&MeshOptions{}, nil)
	if err != nil || sealer == nil || s.Close() != nil {
		t.Error(s, err)
	}
}
