// Command go_client lists and calls the conformance tools with the Go SDK: go run . URL
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type report struct {
	Server   string              `json:"server"`
	Tools    []string            `json:"tools"`
	Plain    *mcp.CallToolResult `json:"plain"`
	Failed   *mcp.CallToolResult `json:"failed"`
	Progress []float64           `json:"progress"`
}

func main() {
	if err := run(context.Background(), os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string) error {
	steps := make(chan float64, 16)
	client := mcp.NewClient(&mcp.Implementation{Name: "go", Version: "1"}, &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, request *mcp.ProgressNotificationClientRequest) {
			steps <- request.Params.Progress
		},
	})
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: url}, nil)
	if err != nil {
		return err
	}
	defer session.Close()
	var found report
	if initialized := session.InitializeResult(); initialized != nil && initialized.ServerInfo != nil {
		found.Server = initialized.ServerInfo.Name
	}
	for tool, err := range session.Tools(ctx, nil) {
		if err != nil {
			return err
		}
		found.Tools = append(found.Tools, tool.Name)
	}
	if found.Plain, err = session.CallTool(ctx, &mcp.CallToolParams{Name: "test_simple_text"}); err != nil {
		return err
	}
	if found.Failed, err = session.CallTool(ctx, &mcp.CallToolParams{Name: "test_error_handling"}); err != nil {
		return err
	}
	params := &mcp.CallToolParams{Name: "test_tool_with_progress"}
	params.SetProgressToken("steps")
	if _, err = session.CallTool(ctx, params); err != nil {
		return err
	}
	for range 3 {
		found.Progress = append(found.Progress, <-steps)
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}
