// Package export_wasi_http_incoming_handler is what the generated exports call: it hands requests to package ftl.
package export_wasi_http_incoming_handler

import (
	"strings"

	"example.com/tools/ftl"
	http "example.com/tools/internal/wit/imports/wasi_http_types"
	streams "example.com/tools/internal/wit/imports/wasi_io_streams"
	wit "go.bytecodealliance.org/pkg/wit/types"
)

// The most that one call of wasi:io/streams writes.
const maxWrite = 4096

// Handle answers one request.
func Handle(request *http.IncomingRequest, out *http.ResponseOutparam) {
	method := "POST"
	if request.Method().Tag() == http.Method_Get {
		method = "GET"
	}
	path, _, _ := strings.Cut(request.PathWithQuery().SomeOr("/"), "?")
	status, body := ftl.Answer(method, path, read(request))

	headers := http.MakeFields()
	headers.Set("content-type", [][]byte{[]byte("application/json")})
	response := http.MakeOutgoingResponse(headers)
	response.SetStatusCode(uint16(status))
	outgoing := response.Body().Ok()
	stream := outgoing.Write().Ok()
	// What fits is written before the head is set: then the host sends both at once.
	rest := writeWhatFits(stream, body)
	http.ResponseOutparamSet(out, wit.Ok[*http.OutgoingResponse, http.ErrorCode](response))
	write(stream, rest)
	stream.Drop()
	http.OutgoingBodyFinish(outgoing, wit.None[*http.Fields]())
}

func read(request *http.IncomingRequest) []byte {
	incoming := request.Consume().Ok()
	defer incoming.Drop()
	stream := incoming.Stream().Ok()
	defer stream.Drop()
	var body []byte
	for {
		// An error is the stream's end, or its failure: then the arguments are no JSON, which is told.
		chunk := stream.BlockingRead(1 << 16)
		if chunk.IsErr() {
			return body
		}
		body = append(body, chunk.Ok()...)
	}
}

// writeWhatFits writes without waiting, and gives what is left.
func writeWhatFits(stream *streams.OutputStream, body []byte) []byte {
	room := stream.CheckWrite()
	if room.IsErr() {
		return nil
	}
	part := body[:min(uint64(len(body)), room.Ok())]
	if stream.Write(part).IsErr() {
		return nil
	}
	return body[len(part):]
}

func write(stream *streams.OutputStream, body []byte) {
	for len(body) > 0 {
		part := body[:min(len(body), maxWrite)]
		if stream.BlockingWriteAndFlush(part).IsErr() {
			// Nobody reads on.
			return
		}
		body = body[len(part):]
	}
}
