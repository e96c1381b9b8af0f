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
"""What each does without end."""
