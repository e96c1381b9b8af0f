// Command httpaddon asks an external scaler of KEDA, as KEDA's operator asks one.
//
// Every line of the input is a ScaledObject's question in JSON: the scaler's address, the object's namespace
// and name, and the trigger's metadata. Every line of the output is the answer: whether the trigger is active,
// and the pods that its metrics ask for, as a HorizontalPodAutoscaler counts them; or the error.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"time"

	pb "github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

type question struct {
	Address   string            `json:"address"`
	Namespace string            `json:"namespace"`
	Name      string            `json:"name"`
	Metadata  map[string]string `json:"metadata"`
}

type answer struct {
	Active bool   `json:"active"`
	Pods   int    `json:"pods"`
	Error  string `json:"error,omitempty"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	connections := map[string]*grpc.ClientConn{}
	lines, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked question
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			return err
		}
		if connections[asked.Address] == nil {
			made, err := grpc.NewClient(asked.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				return err
			}
			connections[asked.Address] = made
		}
		told, err := ask(pb.NewExternalScalerClient(connections[asked.Address]), asked)
		if err != nil {
			told = answer{Error: err.Error()}
		}
		if err := out.Encode(told); err != nil {
			return err
		}
	}
	return lines.Err()
}

func ask(scaler pb.ExternalScalerClient, asked question) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	reference := &pb.ScaledObjectRef{
		Namespace: asked.Namespace, Name: asked.Name, ScalerMetadata: asked.Metadata,
	}
	active, err := scaler.IsActive(ctx, reference)
	if err != nil {
		return answer{}, err
	}
	specs, err := scaler.GetMetricSpec(ctx, reference)
	if err != nil {
		return answer{}, err
	}
	told := answer{Active: active.Result}
	for _, spec := range specs.MetricSpecs {
		request := &pb.GetMetricsRequest{ScaledObjectRef: reference, MetricName: spec.MetricName}
		metrics, err := scaler.GetMetrics(ctx, request)
		if err != nil {
			return answer{}, err
		}
		target := max(spec.TargetSizeFloat, float64(spec.TargetSize))
		for _, metric := range metrics.MetricValues {
			value := max(metric.MetricValueFloat, float64(metric.MetricValue))
			told.Pods = max(told.Pods, int(math.Ceil(value/target)))
		}
	}
	return told, nil
}
