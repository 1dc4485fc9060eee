package app

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/naru-mesh/naru/export"
	"github.com/naru-mesh/naru/observe"
)

// accessLogs keeps the access log that the configuration asks for.
type accessLogs struct {
	gateway *gateway

	mu           sync.Mutex
	log          *export.AccessLog
	format, file string
	hangup       chan os.Signal
}

// set makes format and file what is written from now on. "" and "off" is no
// log. What an older log holds is written before it closes.
func (a *accessLogs) set(format, file string) error {
	if format == "off" {
		format = ""
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if format == a.format && file == a.file {
		return nil
	}
	var next *export.AccessLog
	if format != "" {
		opt := export.AccessLogOptions{Format: format, File: file, Loops: len(a.gateway.driver.Loops())}
		if file == "" {
			opt.Output = a.gateway.opt.Out
		}
		var err error
		if next, err = export.NewAccessLog(opt); err != nil {
			return err
		}
		next.Observe(a.gateway.registry)
		a.gateway.proxy.SetRecorder(next)
	} else {
		a.gateway.proxy.SetRecorder(nil)
	}
	old := a.log
	a.log, a.format, a.file = next, format, file
	if old != nil {
		go old.Close() // a loop may be in the middle of a line
	}
	return nil
}

// reopenOnHangup lets log rotation work the way it does everywhere: rename the
// file, send SIGHUP. It listens without a log too, because the signal would
// end the process otherwise, and people send it to servers to have them reload.
func (a *accessLogs) reopenOnHangup() {
	a.hangup = make(chan os.Signal, 1)
	signal.Notify(a.hangup, syscall.SIGHUP)
	go func() {
		for range a.hangup {
			a.reopen()
		}
	}()
}

func (a *accessLogs) reopen() {
	a.mu.Lock()
	log := a.log
	a.mu.Unlock()
	if log == nil {
		a.gateway.log.Info("SIGHUP: there is no access log to reopen; the configuration is read whenever it is saved")
		return
	}
	if err := log.Reopen(); err != nil {
		a.gateway.log.Error("access log not reopened", "error", err)
	}
}

// close writes what is left.
func (a *accessLogs) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	signal.Stop(a.hangup)
	close(a.hangup)
	if a.log != nil {
		a.log.Close()
	}
}

var _ interface{ Write(*observe.Record) } = (*export.AccessLog)(nil)
