package endpoint

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"google.golang.org/grpc/grpclog"
)

// UseLogger sends what gRPC and its JSON gateway log, which is otherwise written
// to standard error, to logger. It is for the whole process and is called once,
// before anything of gRPC is used.
func UseLogger(logger *slog.Logger) { grpclog.SetLoggerV2(grpcLog{logger}) }

// grpcLog is gRPC's logger. gRPC's errors are lost connections and the like,
// which the frontend survives, so they are warnings here; its infos and warnings
// are of use to those who debug.
type grpcLog struct{ logger *slog.Logger }

func (l grpcLog) log(level slog.Level, text string) {
	l.logger.Log(context.Background(), level, "grpc", "text", strings.TrimSpace(text))
}

func (l grpcLog) Info(args ...any)   { l.log(slog.LevelDebug, fmt.Sprint(args...)) }
func (l grpcLog) Infoln(args ...any) { l.log(slog.LevelDebug, fmt.Sprintln(args...)) }
func (l grpcLog) Infof(format string, args ...any) {
	l.log(slog.LevelDebug, fmt.Sprintf(format, args...))
}

func (l grpcLog) Warning(args ...any)   { l.log(slog.LevelDebug, fmt.Sprint(args...)) }
func (l grpcLog) Warningln(args ...any) { l.log(slog.LevelDebug, fmt.Sprintln(args...)) }
func (l grpcLog) Warningf(format string, args ...any) {
	l.log(slog.LevelDebug, fmt.Sprintf(format, args...))
}

func (l grpcLog) Error(args ...any)   { l.log(slog.LevelWarn, fmt.Sprint(args...)) }
func (l grpcLog) Errorln(args ...any) { l.log(slog.LevelWarn, fmt.Sprintln(args...)) }
func (l grpcLog) Errorf(format string, args ...any) {
	l.log(slog.LevelWarn, fmt.Sprintf(format, args...))
}

func (l grpcLog) Fatal(args ...any)                 { l.fatal(fmt.Sprint(args...)) }
func (l grpcLog) Fatalln(args ...any)               { l.fatal(fmt.Sprintln(args...)) }
func (l grpcLog) Fatalf(format string, args ...any) { l.fatal(fmt.Sprintf(format, args...)) }

// fatal must not return. gRPC calls it for mistakes in our code only, such as a
// service that is registered twice.
func (l grpcLog) fatal(text string) {
	panic("grpc: " + strings.TrimSpace(text))
}

// V says that verbose lines are unwanted; they cost time on every call.
func (grpcLog) V(int) bool { return false }
