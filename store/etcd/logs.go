package etcd

import (
	"context"
	"log/slog"
	"runtime"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// fault is told when a server cannot go on.
type fault struct {
	once sync.Once
	// happened is closed by the first one; why is its message.
	happened chan struct{}
	why      string
}

func newFault() *fault { return &fault{happened: make(chan struct{})} }

// OnWrite takes the place of ending the process, or of a panic: the goroutine
// ends, and the server is given up.
func (f *fault) OnWrite(entry *zapcore.CheckedEntry, fields []zapcore.Field) {
	f.tell(entry.Message + attached(fields))
	runtime.Goexit()
}

func (f *fault) tell(why string) {
	f.once.Do(func() {
		f.why = why
		close(f.happened)
	})
}

// attached is the error of a log line.
func attached(fields []zapcore.Field) string {
	for _, field := range fields {
		if err, ok := field.Interface.(error); ok && field.Type == zapcore.ErrorType {
			return ": " + err.Error()
		}
	}
	return ""
}

// zapLogger hands etcd's errors to slog, as warnings: they are etcd's view, and
// what follows from them for naru is said by the Store. Its warnings are for
// debugging; the rest is dropped.
func zapLogger(log *slog.Logger, f *fault) *zap.Logger {
	options := []zap.Option{}
	if f != nil {
		options = append(options, zap.WithFatalHook(f), zap.WithPanicHook(f))
	}
	return zap.New(&bridge{log: log}, options...)
}

// bridge is a zapcore.Core that writes to slog.
type bridge struct {
	log    *slog.Logger
	fields []zapcore.Field
}

func level(l zapcore.Level) slog.Level {
	if l >= zapcore.ErrorLevel {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

func (b *bridge) Enabled(l zapcore.Level) bool {
	return l >= zapcore.WarnLevel && (l >= zapcore.DPanicLevel || b.log.Enabled(context.Background(), level(l)))
}

func (b *bridge) With(fields []zapcore.Field) zapcore.Core {
	return &bridge{b.log, append(b.fields[:len(b.fields):len(b.fields)], fields...)}
}

func (b *bridge) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if b.Enabled(e.Level) {
		return c.AddCore(e, b)
	}
	return c
}

func (b *bridge) Write(e zapcore.Entry, fields []zapcore.Field) error {
	values := zapcore.NewMapObjectEncoder()
	for _, f := range b.fields {
		f.AddTo(values)
	}
	for _, f := range fields {
		f.AddTo(values)
	}
	list := make([]any, 0, 2*len(values.Fields))
	for key, value := range values.Fields {
		list = append(list, key, value)
	}
	b.log.Log(context.Background(), level(e.Level), "etcd: "+e.Message, list...)
	return nil
}

func (b *bridge) Sync() error { return nil }
