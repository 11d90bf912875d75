package registry

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// tracer is of the process; where nobody has asked for traces it makes none.
var tracer = otel.Tracer("packhouse")

// Trace begins a span: a piece of work as traces show it, part of that of ctx. Work in the background, which has none, begins a trace. end
// takes the error that the work ended with; of what is an answer and no failure, such as NotFound, the span tells the kind alone.
func Trace(ctx context.Context, name string, options ...trace.SpanStartOption) (_ context.Context, end func(error)) {
	ctx, span := tracer.Start(ctx, name, options...)
	return ctx, func(err error) {
		if err != nil {
			kind := KindOf(err)
			span.SetAttributes(attribute.Stringer("error.type", kind))
			if kind == Fault || kind == Full || kind == Unavailable {
				span.SetStatus(codes.Error, MessageOf(err)) // the rest is for the log
			}
		}
		span.End()
	}
}

// TraceProject is Trace of work in the background for a project.
func TraceProject(ctx context.Context, name string, project int64) (_ context.Context, end func(error)) {
	return Trace(ctx, name, trace.WithAttributes(attribute.Int64("packhouse.project.id", project)))
}
