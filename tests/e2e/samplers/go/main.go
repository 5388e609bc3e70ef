// main ADDRESS SERVICE - the unmodified Go remote sampler: prints the share of 200 traces that it samples, over and over, until its
// standard input ends.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"go.opentelemetry.io/contrib/samplers/jaegerremote"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

func share(sampler sdk.Sampler, operation string) float64 {
	sampled := 0
	for range 200 {
		var id trace.TraceID
		for i := range id {
			id[i] = byte(rand.Uint32())
		}
		result := sampler.ShouldSample(sdk.SamplingParameters{ParentContext: context.Background(), TraceID: id, Name: operation})
		if result.Decision == sdk.RecordAndSample {
			sampled++
		}
	}
	return float64(sampled) / 200
}

func main() {
	sampler := jaegerremote.New(os.Args[2], jaegerremote.WithSamplingServerURL("http://"+os.Args[1]+"/sampling"),
		jaegerremote.WithSamplingRefreshInterval(100*time.Millisecond), jaegerremote.WithInitialSampler(sdk.NeverSample()))
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for {
		for _, operation := range []string{"GET /cart", "GET /rare"} {
			line, _ := json.Marshal(map[string]any{"operation": operation, "share": share(sampler, operation)})
			fmt.Println(string(line))
		}
		time.Sleep(100 * time.Millisecond)
	}
}
