package test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// fill leaves nothing of the disk of a folder, and gives how to undo that.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	f, err := os.CreateTemp(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size > 0; size /= 2 {
		for block := make([]byte, size); err == nil; {
			_, err = f.Write(block)
		}
		err = nil
	}
	return func() {
		f.Close()
		if err := os.Remove(f.Name()); err != nil {
			t.Error(err)
		}
	}
}

// TestMeshFullDisk starts naru where nothing can be written, not even that the
// store begins: gateway and node serve what was known, who is asked says what is
// wrong, and the control plane begins when there is room.
func TestMeshFullDisk(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	const size = 400 << 20 // most of it is never written
	data := h.path("data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("naru-test", data, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(data, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})

	config := strings.Replace(shopMesh, "routes:\n", "routes:\n- {match: /here, respond: 200 by the file}\n", 1)

	// The first start of all: there is nothing but the file.
	free := fill(t, data)
	run := h.mesh(config)
	said(t, run.errs, "the state of the control plane cannot be opened")
	answers := func(path, want string) {
		t.Helper()
		eventually(t, path+" is answered", func() bool {
			status, body, err := h.get("http://127.0.0.1:8080" + path)
			return err == nil && status == 200 && strings.Contains(body, want)
		})
	}
	answers("/here", "by the file")
	if p := run.page("/problems"); !strings.Contains(p, "store-unavailable") || !strings.Contains(p, "there are no stored documents") {
		t.Errorf("problems: %s", p)
	}
	free()
	said(t, run.errs, "the control plane has begun")
	run.signal(syscall.SIGTERM)
	run.ended()

	// A start with room, which leaves certificates and documents on the disk.
	run = h.mesh(config)
	h.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "orders here")
	h.serving("orders", 1)
	answers("/", "orders here")
	run.signal(syscall.SIGTERM)
	run.ended()

	// A later one: certificates and documents are those of before.
	free = fill(t, data)
	run = h.mesh(config)
	answers("/here", "by the file")
	answers("/", "orders here") // by mutual TLS
	if p := run.page("/problems"); !strings.Contains(p, "store-unavailable") || !strings.Contains(p, "the control plane has not begun: ") {
		t.Errorf("problems: %s", p)
	}
	if status, body, err := h.get(run.admin + "/readyz"); err != nil || status != 200 {
		t.Errorf("it is not ready: %d %s %v", status, body, err)
	}
	p := h.start(nil, binary, "status", "--socket", h.path("control.sock"))
	if status := p.ended(); status != 1 || !strings.Contains(p.errs.text(), "the control plane has not begun: ") {
		t.Errorf("naru status: %d %s", status, p.errs.text())
	}
	free()
	said(t, run.errs, "the control plane has begun")
	eventually(t, "nothing is wrong any more", func() bool { return !strings.Contains(run.page("/problems"), "store-unavailable") })
	h.serving("orders", 1)
}
