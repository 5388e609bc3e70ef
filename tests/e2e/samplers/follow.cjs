// follow.cjs KIND ADDRESS SERVICE - an unmodified JavaScript client that asks how much to sample: prints the share of 200 traces that
// it samples, over and over, until its standard input ends.
'use strict';
const [kind, address, service] = process.argv.slice(2);
const OPERATIONS = ['GET /cart', 'GET /rare'];

function opentelemetry() {
    const { JaegerRemoteSampler } = require('@opentelemetry/sampler-jaeger-remote');
    const { AlwaysOffSampler, BasicTracerProvider } = require('@opentelemetry/sdk-trace-base');
    const sampler = new JaegerRemoteSampler({ endpoint: `http://${address}`, serviceName: service, poolingInterval: 100, initialSampler: new AlwaysOffSampler() });
    const tracer = new BasicTracerProvider({ sampler }).getTracer('follow');
    return (operation) => tracer.startSpan(operation, { root: true }).isRecording();
}

function jaeger() {
    const { initTracer } = require('jaeger-client');
    const [host, port] = address.split(':');
    const tracer = initTracer({ serviceName: service, sampler: { type: 'remote', param: 0, host, port: Number(port), refreshIntervalMs: 100 },
                                reporter: { logSpans: false } }, { reporter: { report() {}, close() {}, setProcess() {} } });
    return (operation) => tracer.startSpan(operation).context().isSampled();
}

const isSampled = { opentelemetry, jaeger }[kind]();
function look() {
    for (const operation of OPERATIONS) {
        let sampled = 0;
        for (let i = 0; i < 200; i++)
            sampled += isSampled(operation) ? 1 : 0;
        console.log(JSON.stringify({ operation, share: sampled / 200 }));
    }
}
setInterval(look, 100);
process.stdin.on('end', () => process.exit(0)).resume();
