package acme

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// quieter hands certmagic's log to ours, at lower levels: what matters to
// people is told by events, once.
type quieter struct {
	log    *slog.Logger
	fields []zapcore.Field
}

func newZap(log *slog.Logger) *zap.Logger { return zap.New(&quieter{log: log}) }

func quiet(l zapcore.Level) slog.Level {
	if l >= zapcore.ErrorLevel {
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

func (q *quieter) Enabled(l zapcore.Level) bool {
	return l > zapcore.DebugLevel && q.log.Enabled(context.Background(), quiet(l))
}

func (q *quieter) With(fields []zapcore.Field) zapcore.Core {
	all := append(append([]zapcore.Field(nil), q.fields...), fields...)
	return &quieter{log: q.log, fields: all}
}

func (q *quieter) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if q.Enabled(e.Level) {
		return to.AddCore(e, q)
	}
	return to
}

func (q *quieter) Write(e zapcore.Entry, fields []zapcore.Field) error {
	enc := zapcore.NewMapObjectEncoder()
	attrs := []slog.Attr{slog.String("part", e.LoggerName)}
	for _, list := range [][]zapcore.Field{q.fields, fields} {
		for _, f := range list {
			f.AddTo(enc)
			if v, ok := enc.Fields[f.Key]; ok {
				attrs = append(attrs, slog.Any(f.Key, v))
			}
		}
	}
	q.log.LogAttrs(context.Background(), quiet(e.Level), "acme: "+e.Message, attrs...)
	return nil
}

func (q *quieter) Sync() error { return nil }
