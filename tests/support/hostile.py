"""Components that answer `GET /` by doing harm, written by hand so that no compiler is needed."""

from wasmtime import wat2wasm

_COMPONENT = """
(component
  (import "wasi:http/types@0.2.0" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $outparam))
  (import "wasi:io/error@0.2.0" (instance $errors (export "error" (type (sub resource)))))
  (alias export $errors "error" (type $error))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "output-stream" (type $stream (sub resource)))
    (alias outer 1 $error (type $inner-error))
    (type $failure (variant (case "last-operation-failed" (own $inner-error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $failure)))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" (borrow $stream)) (param "contents" (list u8))
        (result (result (error $stream-error)))))))
  (alias export $streams "output-stream" (type $output))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $output (type $inner-output))
    (export "output-stream" (type $stream (eq $inner-output)))
    (export "get-stdout" (func (result (own $stream))))))

  (core module $memories (memory (export "memory") 1))
  (core instance $memory (instantiate $memories))
  (core func $get-stdout (canon lower (func $stdout "get-stdout")))
  (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush")
    (memory (core memory $memory "memory"))))
  (core module $main
    (import "host" "get-stdout" (func $get-stdout (result i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (import "memory" "memory" (memory 1))
    (func (export "handle") (param i32 i32) (local $stream i32)
      BODY))
  (core instance $i (instantiate $main
    (with "host" (instance (export "get-stdout" (func $get-stdout)) (export "write" (func $write))))
    (with "memory" (instance $memory))))
  (func $handle (param "request" (own $request)) (param "response-out" (own $outparam))
    (canon lift (core func $i "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
"""

_LOOP = "(loop $again (br $again))"
_ALLOCATE = """
(loop $again
  (local.set $stream (memory.grow (i32.const 16)))
  (if (i32.eq (local.get $stream) (i32.const -1)) (then unreachable))
  (memory.fill (i32.shl (local.get $stream) (i32.const 16)) (i32.const 1) (i32.const 1048576))
  (br $again))"""
_PRINT = """
(local.set $stream (call $get-stdout))
(memory.fill (i32.const 1024) (i32.const 120) (i32.const 4096))
(loop $again
  (call $write (local.get $stream) (i32.const 1024) (i32.const 4096) (i32.const 0))
  (br $again))"""


def component(body: str) -> bytes:
    return bytes(wat2wasm(_COMPONENT.replace("BODY", body)))


HOSTILE = {"loop": component(_LOOP), "allocate": component(_ALLOCATE), "print": component(_PRINT)}
"""The endless action of each."""


_ANSWER = """
(component
  (import "wasi:io/error@0.2.0" (instance $errors (export "error" (type (sub resource)))))
  (alias export $errors "error" (type $error))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "output-stream" (type $stream (sub resource)))
    (alias outer 1 $error (type $inner-error))
    (type $failure (variant (case "last-operation-failed" (own $inner-error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $failure)))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" (borrow $stream)) (param "contents" (list u8))
        (result (result (error $stream-error)))))))
  (alias export $streams "output-stream" (type $output))
  (import "wasi:http/types@0.2.0" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type $outparam (sub resource)))
    (export "fields" (type $fields (sub resource)))
    (export "outgoing-response" (type $response (sub resource)))
    (export "outgoing-body" (type $body (sub resource)))
    (alias outer 1 $output (type $inner-output))
    (type $code (variant (case "internal-error" (option string))))
    (export "error-code" (type $error-code (eq $code)))
    (export "[constructor]fields" (func (result (own $fields))))
    (export "[constructor]outgoing-response" (func (param "headers" (own $fields)) (result (own $response))))
    (export "[method]outgoing-response.body"
      (func (param "self" (borrow $response)) (result (result (own $body)))))
    (export "[method]outgoing-body.write"
      (func (param "self" (borrow $body)) (result (result (own $inner-output)))))
    (export "[static]outgoing-body.finish"
      (func (param "this" (own $body)) (param "trailers" (option (own $fields)))
        (result (result (error $error-code)))))
    (export "[static]response-outparam.set"
      (func (param "param" (own $outparam))
        (param "response" (result (own $response) (error $error-code)))))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $out))
  IMPORTS

  (core module $memories
    (memory (export "memory") PAGES)
    (data (i32.const 65536) "DATA")
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
  (core instance $memory (instantiate $memories))
  (alias core export $memory "memory" (core memory $m))
  (alias core export $memory "realloc" (core func $realloc))
  (core func $fields (canon lower (func $types "[constructor]fields")))
  (core func $response (canon lower (func $types "[constructor]outgoing-response")))
  (core func $body (canon lower (func $types "[method]outgoing-response.body") (memory $m)))
  (core func $stream (canon lower (func $types "[method]outgoing-body.write") (memory $m)))
  (core func $finish (canon lower (func $types "[static]outgoing-body.finish")
    (memory $m) (realloc $realloc)))
  (core func $set (canon lower (func $types "[static]response-outparam.set") (memory $m)))
  (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush")
    (memory $m)))
  (core func $drop (canon resource.drop $output))
  (core module $main
    (import "host" "fields" (func $fields (result i32)))
    (import "host" "response" (func $response (param i32) (result i32)))
    (import "host" "body" (func $body (param i32 i32)))
    (import "host" "stream" (func $stream (param i32 i32)))
    (import "host" "finish" (func $finish (param i32 i32 i32 i32)))
    (import "host" "set" (func $set (param i32 i32 i32 i32 i32 i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (import "host" "drop" (func $drop (param i32)))
    (import "memory" "memory" (memory 1))
    (func (export "handle") (param $request i32) (param $out i32)
      (local $r i32) (local $b i32) (local $s i32) (local $at i32) (local $left i32) (local $now i32)
      (local.set $r (call $response (call $fields)))
      (call $body (local.get $r) (i32.const 16))
      (local.set $b (i32.load (i32.const 20)))
      (call $set (local.get $out) (i32.const 0) (local.get $r) (i32.const 0) (i32.const 0) (i32.const 0))
      (call $stream (local.get $b) (i32.const 16))
      (local.set $s (i32.load (i32.const 20)))
      (local.set $at (i32.const 65536))
      (local.set $left (i32.const LENGTH))
      (block $done
        (loop $again
          (br_if $done (i32.eqz (local.get $left)))
          (local.set $now (select (i32.const 4096) (local.get $left)
            (i32.gt_u (local.get $left) (i32.const 4096))))
          (call $write (local.get $s) (local.get $at) (local.get $now) (i32.const 32))
          (local.set $at (i32.add (local.get $at) (local.get $now)))
          (local.set $left (i32.sub (local.get $left) (local.get $now)))
          (br $again)))
      (call $drop (local.get $s))
      (call $finish (local.get $b) (i32.const 0) (i32.const 0) (i32.const 48))))
  (core instance $i (instantiate $main
    (with "host" (instance
      (export "fields" (func $fields)) (export "response" (func $response)) (export "body" (func $body))
      (export "stream" (func $stream)) (export "finish" (func $finish)) (export "set" (func $set))
      (export "write" (func $write)) (export "drop" (func $drop))))
    (with "memory" (instance $memory))))
  EXTRA
  (func $handle (param "request" (own $request)) (param "response-out" (own $out))
    (canon lift (core func $i "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
"""


def answering(metadata: bytes, imports: str = "", extra: str = "") -> bytes:
    """A component that answers each request with these bytes.

    Args:
        metadata: The answer.
        imports: Further imports, in the component's text format.
        extra: Further definitions, such as core modules and their instances.
    """
    text = _ANSWER.replace("PAGES", str(2 + len(metadata) // 65536)).replace("LENGTH", str(len(metadata)))
    data = "".join(f"\\{byte:02x}" for byte in metadata)
    return bytes(wat2wasm(text.replace("IMPORTS", imports).replace("EXTRA", extra).replace("DATA", data)))
