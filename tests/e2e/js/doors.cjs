// doors.cjs KIND ADDRESS < TRACE - unmodified JavaScript clients of OTLP, Jaeger and Zipkin send the trace that comes on standard input, a JSON list
// of spans as same_trace.py makes it. With `-` for an address nothing is sent: the message that the client would have, it prints.
'use strict';
const fs = require('fs');
const [kind, address] = process.argv.slice(2);
const [host, port] = address.split(':');
const trace = JSON.parse(fs.readFileSync(0, 'utf8'));
const micros = (ns) => Number(BigInt(ns) / 1000n);
const millis = (ns) => micros(ns) / 1000;
const hrtime = (ns) => [Number(BigInt(ns) / 1000000000n), Number(BigInt(ns) % 1000000000n)];
const wholeMicros = (ns) => String(BigInt(ns) / 1000n * 1000n);

// --- npm zipkin ------------------------------------------------------------------------------------------

// Begin and end of a span of each kind.
const around = {
    SERVER: ['ServerRecv', 'ServerSend'], CLIENT: ['ClientSend', 'ClientRecv'], PRODUCER: ['ProducerStart', 'ProducerStop'],
    CONSUMER: ['ConsumerStart', 'ConsumerStop'], INTERNAL: ['LocalOperationStart', 'LocalOperationStop'],
};

function zipkinRecord(span, logger) {
    const { BatchRecorder, TraceId, Annotation, InetAddress, option } = require('zipkin');
    const recorder = new BatchRecorder({ logger });
    const { 'service.name': service, ...tags } = span.resource;
    const { 'peer.service': peer, 'net.peer.ip': ip, 'net.peer.port': peerPort, ...own } = span.attributes;
    const traceId = new TraceId({
        traceId: span.trace_id, spanId: span.span_id, sampled: new option.Some(true),
        parentId: span.parent_id ? new option.Some(span.parent_id) : option.None,
    });
    const record = (timestamp, annotation) => recorder.record({ traceId, timestamp, annotation });
    const [begin, end] = around[span.kind];
    recorder.setDefaultTags(tags);
    record(micros(span.start), new Annotation[begin](span.name));
    record(micros(span.start), new Annotation.ServiceName(service));
    record(micros(span.start), new Annotation.LocalAddr({ host: new InetAddress('10.9.8.7'), port: 8080 }));
    record(micros(span.start), new Annotation.Rpc(span.name));
    if (peer) record(micros(span.start), new Annotation.ServerAddr({ serviceName: peer, host: new InetAddress(ip), port: peerPort }));
    for (const [key, value] of Object.entries(own)) record(micros(span.start), new Annotation.BinaryAnnotation(key, value));
    if (span.status[0] === 'ERROR') record(micros(span.start), new Annotation.BinaryAnnotation('error', span.status[1]));
    for (const event of span.events) record(micros(event.time), new Annotation.Message(event.name));
    record(micros(span.end), new Annotation[end]());
}

function zipkin() {
    const { jsonEncoder: { JSON_V2 } } = require('zipkin');
    const { HttpLogger } = require('zipkin-transport-http');
    if (address === '-') {
        const encoded = [];
        for (const span of trace) zipkinRecord(span, { logSpan: (made) => encoded.push(JSON_V2.encode(made)) });
        process.stdout.write(`[${encoded.join(',')}]`);
        return undefined;
    }
    const logger = new HttpLogger({ endpoint: `http://${address}/api/v2/spans`, jsonEncoder: JSON_V2, httpInterval: 20 });
    for (const span of trace) zipkinRecord(span, logger);
    const running = setInterval(() => {}, 1000); // its own timer would let the process end
    return new Promise((resolve, reject) => {
        logger.on('error', reject);
        logger.on('success', () => {
            clearInterval(running);
            resolve();
        });
    });
}

// --- npm jaeger-client -----------------------------------------------------------------------------------

// What OpenTracing has no word for is said by the tags that Jaeger knows.
function jaegerTags(span) {
    const [code, message] = span.status;
    return {
        ...span.attributes, 'span.kind': span.kind.toLowerCase(), 'otel.scope.name': span.scope[0], 'otel.scope.version': span.scope[1],
        ...(code === 'UNSET' ? {} : { 'otel.status_code': code }), ...(code === 'ERROR' ? { error: true, 'otel.status_description': message } : {}),
        ...(span.trace_state ? { 'w3c.tracestate': span.trace_state } : {}),
    };
}

function jaegerService(spans, reporter) {
    const { initTracer, opentracing } = require('jaeger-client');
    const { Reference, FORMAT_TEXT_MAP, REFERENCE_CHILD_OF, REFERENCE_FOLLOWS_FROM } = opentracing;
    const { 'service.name': serviceName, ...tags } = spans[0].resource;
    const tracer = initTracer({ serviceName, sampler: { type: 'const', param: 1 }, reporter, traceId128bit: true },
        { tags: { ...tags, hostname: 'js', ip: '10.9.8.7' }, logger: { info() {}, error(message) { console.error(message); process.exitCode = 1; } } });
    const buffer = (hex) => Buffer.from(hex, 'hex');
    const contextOf = (traceId, spanId) => tracer.extract(FORMAT_TEXT_MAP, { 'uber-trace-id': `${traceId}:${spanId}:0:1` }); // 1: sampled
    for (const span of spans) {
        const references = span.links.map((link) => new Reference(REFERENCE_FOLLOWS_FROM, contextOf(link.trace_id, link.span_id)));
        if (span.parent_id) references.unshift(new Reference(REFERENCE_CHILD_OF, contextOf(span.trace_id, span.parent_id)));
        const made = tracer.startSpan(span.name, { references, tags: jaegerTags(span), startTime: millis(span.start) });
        made.context().traceId = buffer(span.trace_id);
        made.context().spanId = buffer(span.span_id);
        for (const event of span.events) made.log({ event: event.name, ...event.attributes }, millis(event.time));
        made.finish(millis(span.end));
    }
    return new Promise((resolve) => tracer.close(resolve));
}

function services() {
    const found = new Map();
    for (const span of trace) found.set(span.resource['service.name'], [...(found.get(span.resource['service.name']) || []), span]);
    return [...found.values()];
}

async function jaeger(reporter) {
    for (const spans of services()) await jaegerService(spans, { ...reporter, flushIntervalMs: 20 });
}

// --- OpenTelemetry ---------------------------------------------------------------------------------------

function record(span, time) {
    const { trace: api, ROOT_CONTEXT, SpanKind, SpanStatusCode, createTraceState } = require('@opentelemetry/api');
    const { NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');
    const { resourceFromAttributes } = require('@opentelemetry/resources');
    let finished;
    const provider = new NodeTracerProvider({
        resource: resourceFromAttributes(span.resource), idGenerator: { generateTraceId: () => span.trace_id, generateSpanId: () => span.span_id },
        spanProcessors: [{ onStart() {}, onEnd(made) { finished = made; }, forceFlush: async () => {}, shutdown: async () => {} }],
    });
    const parent = { traceId: span.trace_id, spanId: span.parent_id, traceFlags: 1, traceState: createTraceState(span.trace_state) };
    const made = provider.getTracer(...span.scope).startSpan(span.name, {
        kind: SpanKind[span.kind], attributes: span.attributes, startTime: time(span.start),
        links: span.links.map((link) => ({ context: { traceId: link.trace_id, spanId: link.span_id, traceFlags: 1 }, attributes: link.attributes })),
    }, span.parent_id ? api.setSpanContext(ROOT_CONTEXT, parent) : ROOT_CONTEXT);
    for (const event of span.events) made.addEvent(event.name, event.attributes, time(event.time));
    const [code, message] = span.status;
    if (code !== 'UNSET') made.setStatus({ code: SpanStatusCode[code], message });
    made.end(time(span.end));
    return finished;
}

async function exported(exporter, spans) {
    const result = await new Promise((done) => exporter.export(spans, done));
    await exporter.shutdown();
    if (result.code !== 0) throw result.error || new Error('export failed');
}

function otlp() {
    const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-http');
    const { JsonTraceSerializer } = require('@opentelemetry/otlp-transformer');
    const spans = trace.map((span) => record(span, hrtime));
    if (address !== '-') return exported(new OTLPTraceExporter({ url: `http://${address}/v1/traces` }), spans);
    process.stdout.write(Buffer.from(JsonTraceSerializer.serializeRequest(spans)));
    return undefined;
}

// Its times are whole microseconds, as an SDK's are that was given none: it would write a fraction, which no Zipkin takes.
function zipkinExporter() {
    const { ZipkinExporter } = require('@opentelemetry/exporter-zipkin');
    const spans = trace.map((span) => record(span, (ns) => hrtime(wholeMicros(ns))));
    return exported(new ZipkinExporter({ url: `http://${address}/api/v2/spans` }), spans);
}

const kinds = {
    'zipkin': zipkin,
    'zipkin-exporter': zipkinExporter,
    'otlp-json': otlp,
    'jaeger-binary': () => jaeger({ agentHost: host, agentPort: Number(port) }),
    'jaeger-http': () => jaeger({ collectorEndpoint: `http://${address}/api/traces` }),
};
Promise.resolve(kinds[kind]()).catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
