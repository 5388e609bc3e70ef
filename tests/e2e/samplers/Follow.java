// Follow ADDRESS SERVICE - the unmodified Java SDK's remote sampler over gRPC: prints the share of 200 traces that it samples, over and
// over, until its standard input ends.
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.context.Context;
import io.opentelemetry.sdk.extension.trace.jaeger.sampler.JaegerRemoteSampler;
import io.opentelemetry.sdk.trace.IdGenerator;
import io.opentelemetry.sdk.trace.samplers.Sampler;
import io.opentelemetry.sdk.trace.samplers.SamplingDecision;
import java.time.Duration;
import java.util.List;

public final class Follow {
    private static double share(Sampler sampler, String operation) {
        int sampled = 0;
        for (int i = 0; i < 200; i++) {
            String id = IdGenerator.random().generateTraceId();
            if (sampler.shouldSample(Context.root(), id, operation, SpanKind.SERVER, Attributes.empty(), List.of()).getDecision()
                    == SamplingDecision.RECORD_AND_SAMPLE)
                sampled++;
        }
        return sampled / 200.0;
    }

    public static void main(String[] args) throws Exception {
        Sampler sampler = JaegerRemoteSampler.builder().setEndpoint("http://" + args[0]).setServiceName(args[1])
                .setPollingInterval(Duration.ofMillis(100)).setInitialSampler(Sampler.alwaysOff()).build();
        while (System.in.available() >= 0) {
            for (String operation : new String[] {"GET /cart", "GET /rare"})
                System.out.println("{\"operation\":\"" + operation + "\",\"share\":" + share(sampler, operation) + "}");
            System.out.flush();
            Thread.sleep(100);
        }
    }
}
