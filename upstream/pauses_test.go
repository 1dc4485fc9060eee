package upstream

import (
	"testing"
	"time"
)

// TestPauses: of more endpoints than are remembered those are that want to be left
// alone the longest, and one that speaks again is heard.
func TestPauses(t *testing.T) {
	t.Parallel()
	var p Pauses
	var tried Tried
	eps := make([]Endpoint, maxTried+3)
	for i := range eps {
		p.Note(&eps[i], time.Duration(i+1)*time.Second)
	}
	if !p.Spare(&tried, 0) || tried.Len() != maxTried || tried.Has(&eps[2]) || !tried.Has(&eps[3]) {
		t.Errorf("%d are remembered", tried.Len())
	}
	p.Note(&eps[3], 0)
	tried.Reset()
	p.Spare(&tried, 10*time.Second)
	if tried.Len() != 4 || tried.Has(&eps[9]) || !tried.Has(&eps[10]) {
		t.Errorf("%d are left alone after 10 s", tried.Len())
	}
	tried.remove(&eps[10])
	tried.remove(&eps[0]) // which is not there
	if tried.Len() != 3 || tried.Has(&eps[10]) || !tried.Has(&eps[13]) || tried.eps[3] != nil {
		t.Errorf("%d are left", tried.Len())
	}
	if tried.Reset(); p.Spare(&tried, time.Minute) {
		t.Error("somebody is left alone for ever")
	}
}
