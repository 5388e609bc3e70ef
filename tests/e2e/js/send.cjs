// send.cjs PROTOCOL ENDPOINT - an unmodified OpenTelemetry SDK makes a few spans with everything a span can hold and
// exports them over grpc, http/protobuf or http/json; prints the same spans as the SDK's own OTLP/JSON.
'use strict';
const { trace, context, SpanKind, SpanStatusCode } = require('@opentelemetry/api');
const { NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');
const { SimpleSpanProcessor } = require('@opentelemetry/sdk-trace-base');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { JsonTraceSerializer } = require('@opentelemetry/otlp-transformer');

const exporters = {
    'grpc': '@opentelemetry/exporter-trace-otlp-grpc',
    'http/protobuf': '@opentelemetry/exporter-trace-otlp-proto',
    'http/json': '@opentelemetry/exporter-trace-otlp-http',
};
const [protocol, endpoint] = process.argv.slice(2);
const { OTLPTraceExporter } = require(exporters[protocol]);
const exporter = new OTLPTraceExporter({ url: endpoint, compression: process.env.COMPRESSION || 'none' });
const finished = [];
let failure = null;
const recording = {
    export(spans, done) {
        finished.push(...spans);
        exporter.export(spans, (result) => {
            if (result.code !== 0) failure = result.error || new Error('export failed');
            done(result);
        });
    },
    shutdown: () => exporter.shutdown(),
    forceFlush: () => (exporter.forceFlush ? exporter.forceFlush() : Promise.resolve()),
};
const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'js-' + protocol, 'service.version': '1.2.3', 'host.cpus': 2, 'flag': true }),
    spanProcessors: [new SimpleSpanProcessor(recording)],
});
const tracer = provider.getTracer('e2e', '0.1');

const other = tracer.startSpan('linked', { root: true });
other.end();
const root = tracer.startSpan('GET /cart', {
    kind: SpanKind.SERVER,
    attributes: {
        'text': 'käse ☃ \u0007 "quoted"', 'int': 42, 'negative': -7, 'large': 9007199254740991, 'double': 1.5, 'yes': true, 'no': false,
        'empty': '', 'strings': ['a', '', 'c'], 'ints': [1, 2, 3], 'doubles': [0.5, -2.25], 'bools': [true, false], 'none': [],
    },
    links: [{ context: other.spanContext(), attributes: { why: 'test' } }],
});
const inside = trace.setSpan(context.active(), root);
const child = tracer.startSpan('SELECT', { kind: SpanKind.CLIENT, attributes: { 'db.system.name': 'postgresql' } }, inside);
child.addEvent('retry', { attempt: 2, wait: 0.25 });
child.addEvent('', { unnamed: true });
child.recordException(new Error('boom'));
child.setStatus({ code: SpanStatusCode.ERROR, message: 'boom' });
child.end();
const producer = tracer.startSpan('publish', { kind: SpanKind.PRODUCER }, inside);
producer.setStatus({ code: SpanStatusCode.OK });
producer.end();
root.end();

provider.forceFlush().then(() => provider.shutdown()).then(() => {
    if (failure) throw failure;
    process.stdout.write(Buffer.from(JsonTraceSerializer.serializeRequest(finished)));
}).catch((error) => {
    console.error(error);
    process.exit(1);
});
