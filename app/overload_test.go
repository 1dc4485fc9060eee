package app_test

import (
	"strings"
	"testing"

	"github.com/naru-mesh/naru/app"
	"github.com/naru-mesh/naru/model"
)

// TestReadOverload: a flag takes the words of the configuration, and says what is
// wrong with them.
func TestReadOverload(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]model.Overload{
		"off":                      {Off: true},
		"{memory: 1GiB, cpu: off}": {Memory: 1 << 30, CPU: -1},
		"{memory: 64MiB, cpu: 90}": {Memory: 64 << 20, CPU: 90},
		"{queueDelay: 500ms}":      {QueueDelay: 500e6},
	} {
		if got, err := app.ReadOverload(text); err != nil || *got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                  "nothing is said",
		"nonsense":          "overload must be",
		"{cpu: 200}":        "cpu is a share of the processors in percent, not 200 (for example cpu: 90)",
		"{memory: 1KiB}":    "memory",
		"{delay: 1s}":       "queueDelay",
		"{queueDelay: soon": "",
	} {
		if got, err := app.ReadOverload(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}
