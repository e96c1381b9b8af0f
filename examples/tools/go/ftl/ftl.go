// Package ftl keeps FTL's tool contract, so that an author writes functions only:
//
//	GET /       gives the tools' metadata
//	POST /TOOL  gives the result of one call, with the arguments as the JSON body
package ftl

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Add makes a tool of a function. Call it before main runs, from an init function.
//
// The JSON Schema of the arguments comes from the fields of In, a struct: their names and `omitempty` from the tag
// `json`, their meaning from the tag `doc`. A field with `omitempty` may be left out, every other one is required.
// A result that is a struct is structured, with a schema of its own; any other one is text. An error is told to the
// model as the tool's own failure.
func Add[In, Out any](name, description string, call func(In) (Out, error)) {
	tool := metadata{Name: name, Description: description, InputSchema: schemaOf[In]()}
	structured := isStruct[Out]()
	if structured {
		tool.OutputSchema = schemaOf[Out]()
	}
	tools = append(tools, tool)
	calls[name] = func(arguments []byte) (result, error) {
		var in In
		if err := json.Unmarshal(arguments, &in); err != nil {
			return result{}, fmt.Errorf("the arguments do not fit: %w", err)
		}
		out, err := call(in)
		if err != nil {
			return result{}, err
		}
		if !structured {
			return text(fmt.Sprint(out)), nil
		}
		raw, err := json.Marshal(out)
		if err != nil {
			return result{}, err
		}
		return result{Content: text(string(raw)).Content, StructuredContent: raw}, nil
	}
}

// Answer gives the status and the JSON body of an HTTP request's answer.
func Answer(method, path string, body []byte) (int, []byte) {
	name := strings.TrimPrefix(path, "/")
	if method == "GET" && name == "" {
		return 200, encoded(tools)
	}
	call, known := calls[name]
	if method != "POST" || !known {
		return 404, encoded(failure("no tool " + name))
	}
	found, err := call(body)
	if err != nil {
		return 200, encoded(failure(err.Error()))
	}
	return 200, encoded(found)
}

var (
	tools = []metadata{}
	calls = map[string]func([]byte) (result, error){}
)

type metadata struct {
	Name         string         `json:"name"`
	Description  string         `json:"description"`
	InputSchema  map[string]any `json:"inputSchema"`
	OutputSchema map[string]any `json:"outputSchema,omitempty"`
}

type content struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type result struct {
	Content           []content       `json:"content"`
	StructuredContent json.RawMessage `json:"structuredContent,omitempty"`
	IsError           bool            `json:"isError,omitempty"`
}

func text(value string) result {
	return result{Content: []content{{Type: "text", Text: value}}}
}

func failure(why string) result {
	return result{Content: text(why).Content, IsError: true}
}

func encoded(value any) []byte {
	raw, err := json.Marshal(value)
	if err != nil {
		// Only what this package made comes here, and all of it can be written.
		panic(err)
	}
	return raw
}
