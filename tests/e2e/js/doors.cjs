// doors.cjs KIND ADDRESS - unmodified JavaScript clients of Zipkin and Jaeger send one trace; prints its id and what else must be found.
'use strict';
const [kind, address] = process.argv.slice(2);
const [host, port] = address.split(':');

function zipkin() {
    const { Tracer, BatchRecorder, ExplicitContext, Annotation, InetAddress, jsonEncoder } = require('zipkin');
    const { HttpLogger } = require('zipkin-transport-http');
    const logger = new HttpLogger({ endpoint: `http://${address}/api/v2/spans`, jsonEncoder: jsonEncoder.JSON_V2, httpInterval: 50 });
    const recorder = new BatchRecorder({ logger });
    const context = new ExplicitContext();
    const tracer = new Tracer({ ctxImpl: context, recorder, localServiceName: 'js-zipkin', traceId128Bit: true, supportsJoin: true });
    const root = tracer.createRootId();
    const child = tracer.letId(root, () => tracer.createChildId());
    tracer.setId(root);
    tracer.recordServiceName('js-zipkin');
    tracer.recordRpc('GET');
    tracer.recordBinary('http.path', '/cart');
    tracer.recordAnnotation(new Annotation.ServerRecv());
    tracer.setId(child);
    tracer.recordServiceName('js-zipkin');
    tracer.recordRpc('Query');
    tracer.recordBinary('error', 'no connection');
    tracer.recordAnnotation(new Annotation.ClientSend());
    tracer.recordAnnotation(new Annotation.ServerAddr({ serviceName: 'db', host: new InetAddress('10.1.2.3'), port: 5432 }));
    tracer.recordMessage('mark');
    tracer.recordAnnotation(new Annotation.ClientRecv());
    tracer.setId(root);
    tracer.recordAnnotation(new Annotation.ServerSend());
    const out = { trace_id: root.traceId, span_id: root.spanId, child_id: child.spanId, service: 'js-zipkin' };
    const running = setInterval(() => {}, 1000); // its own timer would let the process end
    return new Promise((resolve, reject) => {
        logger.on('error', reject);
        logger.on('success', () => {
            clearInterval(running);
            resolve(out);
        });
    });
}

function jaeger(reporter) {
    const { initTracer } = require('jaeger-client');
    const tracer = initTracer({ serviceName: 'js-' + kind, sampler: { type: 'const', param: 1 }, reporter, traceId128bit: true },
        { tags: { 'host.tag': 'h1' }, logger: { info() {}, error(message) { console.error(message); process.exitCode = 1; } } });
    const root = tracer.startSpan('GET /cart', { tags: { 'span.kind': 'server', n: 12, f: 1.5, yes: true, text: 'käse' } });
    const child = tracer.startSpan('SELECT', { childOf: root, tags: { 'span.kind': 'client', error: true } });
    child.log({ event: 'retry', attempt: 2 });
    child.finish();
    root.finish();
    const id = root.context();
    const out = { trace_id: id.traceIdStr, span_id: id.spanIdStr, child_id: child.context().spanIdStr, service: 'js-' + kind };
    return new Promise((resolve) => tracer.close(() => resolve(out)));
}

async function exporter() {
    const { ZipkinExporter } = require('@opentelemetry/exporter-zipkin');
    const { NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');
    const { SimpleSpanProcessor } = require('@opentelemetry/sdk-trace-base');
    const { resourceFromAttributes } = require('@opentelemetry/resources');
    const provider = new NodeTracerProvider({
        resource: resourceFromAttributes({ 'service.name': 'js-' + kind }),
        spanProcessors: [new SimpleSpanProcessor(new ZipkinExporter({ url: `http://${address}/api/v2/spans` }))],
    });
    const span = provider.getTracer('lib', '1.2').startSpan('GET /cart', { kind: 1, attributes: { n: 12, text: 'käse' } });
    span.addEvent('retry');
    span.end();
    await provider.forceFlush();
    await provider.shutdown();
    return { trace_id: span.spanContext().traceId, span_id: span.spanContext().spanId, service: 'js-' + kind };
}

const kinds = {
    'zipkin': zipkin,
    'zipkin-exporter': exporter,
    'jaeger-binary': () => jaeger({ agentHost: host, agentPort: Number(port), flushIntervalMs: 50 }),
    'jaeger-http': () => jaeger({ collectorEndpoint: `http://${address}/api/traces`, flushIntervalMs: 50 }),
};
Promise.resolve(kinds[kind]()).then((out) => console.log(JSON.stringify(out)));
