//! One component with many behaviours, for the host's tests. The path's first segment names what it does;
//! each is a function below.

use std::io::Write as _;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingRequest, OutgoingResponse,
    RequestOptions, ResponseOutparam, Scheme,
};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

mod spin;

struct Component;
wasip2::http::proxy::export!(Component);

type Reply = Result<(u16, Vec<u8>), String>;

impl Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let (name, rest) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
        match name {
            "stream" => return stream(out, rest.parse().unwrap_or(3)),
            "flood" => return flood(out, rest.parse().unwrap_or(0)),
            "short" => return short(out),
            "pipe" => return pipe(&request, out),
            "late-trap" => return late_trap(out),
            "error-code" => return ResponseOutparam::set(out, Err(ErrorCode::ConfigurationError)),
            "silent" => return,
            _ => {}
        }
        let reply = match name {
            "hello" => Ok((200, b"hello".to_vec())),
            "echo" => Ok((200, body(&request))),
            "request" => Ok((200, describe(&request))),
            "status" => Ok((rest.parse().unwrap_or(500), Vec::new())),
            "print" => print(rest),
            "env" => Ok((200, std::env::vars().map(|(k, v)| format!("{k}={v}\n")).collect::<String>().into())),
            "file" => std::fs::read(format!("/{rest}")).map(|data| (200, data)).map_err(|e| e.to_string()),
            "write-file" => std::fs::write(format!("/{rest}"), b"x").map(|()| (200, vec![])).map_err(|e| e.to_string()),
            "list" => list(rest),
            "clock" => clock(),
            "random" => Ok((200, wasip2::random::random::get_random_bytes(32))),
            "sleep" => sleep(rest.parse().unwrap_or(0)),
            "loop" => forever(),
            "wait" => sleep(3_600_000),
            "alloc" => allocate(),
            "trap" => panic!("trapped on purpose"),
            "exit" => std::process::exit(rest.parse().unwrap_or(0)),
            "fetch" => fetch(query, &request),
            "many" => many(query),
            "resources" => resources(),
            "socket" => Ok((200, format!("{:?}", wasip2::sockets::tcp_create_socket::create_tcp_socket(
                wasip2::sockets::network::IpAddressFamily::Ipv4).map(|_| ())).into_bytes())),
            "fields" => fields(),
            "spin" => spin::run(rest, query),
            _ => Ok((404, Vec::new())),
        };
        match reply {
            Ok((status, data)) => respond(out, status, &data),
            Err(message) => respond(out, 500, message.as_bytes()),
        }
    }
}

fn respond(out: ResponseOutparam, status: u16, data: &[u8]) {
    let headers = Fields::new();
    headers.append("content-length", data.len().to_string().as_bytes()).unwrap();
    let response = OutgoingResponse::new(headers);
    response.set_status_code(status).unwrap();
    let body = response.body().unwrap();
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().unwrap();
    let _ = write_all(&stream, data);
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

fn write_all(stream: &OutputStream, data: &[u8]) -> Result<(), StreamError> {
    for chunk in data.chunks(4096) {
        stream.blocking_write_and_flush(chunk)?;
    }
    Ok(())
}

fn read_all(stream: &InputStream) -> Result<Vec<u8>, String> {
    let mut data = Vec::new();
    loop {
        match stream.blocking_read(65536) {
            Ok(chunk) => data.extend(chunk),
            Err(StreamError::Closed) => return Ok(data),
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(format!("{:?}", wasip2::http::types::http_error_code(&error)));
            }
        }
    }
}

fn body(request: &IncomingRequest) -> Vec<u8> {
    let body = request.consume().unwrap();
    let stream = body.stream().unwrap();
    let data = read_all(&stream).unwrap();
    drop(stream);
    drop(IncomingBody::finish(body));
    data
}

fn describe(request: &IncomingRequest) -> Vec<u8> {
    let mut text = format!("{:?} {:?} {:?} {:?}\n", request.method(), request.path_with_query(), request.scheme(),
        request.authority());
    for (name, value) in request.headers().entries() {
        text += &format!("{name}: {}\n", String::from_utf8_lossy(&value));
    }
    text.into_bytes()
}

fn print(text: &str) -> Reply {
    println!("out {text}");
    eprintln!("err {text}");
    print!("no line end");
    std::io::stdout().flush().map_err(|e| e.to_string())?;
    Ok((200, Vec::new()))
}

fn list(path: &str) -> Reply {
    let mut names: Vec<String> = std::fs::read_dir(format!("/{path}"))
        .map_err(|e| e.to_string())?
        .map(|entry| entry.unwrap())
        .map(|entry| format!("{} {}\n", entry.file_name().to_string_lossy(), entry.metadata().unwrap().len()))
        .collect();
    names.sort();
    Ok((200, names.concat().into_bytes()))
}

fn clock() -> Reply {
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let before = std::time::Instant::now();
    let after = std::time::Instant::now();
    Ok((200, format!("{wall} {}", after >= before).into_bytes()))
}

fn sleep(milliseconds: u64) -> Reply {
    std::thread::sleep(std::time::Duration::from_millis(milliseconds));
    Ok((200, b"slept".to_vec()))
}

fn forever() -> Reply {
    let mut number = 1u64;
    loop {
        number = std::hint::black_box(number.wrapping_mul(3));
    }
}

fn allocate() -> Reply {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    loop {
        kept.push(std::hint::black_box(vec![1; 1 << 20]));
    }
}

fn resources() -> Reply {
    let mut kept = Vec::new();
    loop {
        kept.push(Fields::new());
    }
}

fn fields() -> Reply {
    let fields = Fields::new();
    let mut lines = vec![
        format!("{:?}", fields.append("x-a", b"1")),
        format!("{:?}", fields.append("X-A", b"2")),
        format!("{:?}", fields.append("bad name", b"1")),
        format!("{:?}", fields.append("x-b", b"a\nb")),
        format!("{:?}", fields.append("transfer-encoding", b"chunked")),
        format!("{:?}", fields.get("x-A")),
        format!("{:?}", fields.has("x-z")),
        format!("{:?}", fields.set("x-a", &[b"3".to_vec()])),
        format!("{:?}", fields.clone().entries()),
        format!("{:?}", fields.delete("x-a")),
        format!("{:?}", fields.entries()),
        format!("{:?}", Fields::from_list(&[("a b".into(), b"1".to_vec())]).map(|_| ())),
    ];
    let response = OutgoingResponse::new(fields);
    lines.push(format!("{:?}", response.headers().append("x-a", b"1")));
    lines.push(format!("{:?}", response.set_status_code(99)));
    Ok((200, lines.join("\n").into_bytes()))
}

/// Answers with chunks that are sent one by one, 50 ms apart.
fn stream(out: ResponseOutparam, count: usize) {
    let response = OutgoingResponse::new(Fields::from_list(&[("content-type".into(), b"text/event-stream".to_vec())]).unwrap());
    let body = response.body().unwrap();
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().unwrap();
    for index in 0..count {
        if let Err(error) = stream.blocking_write_and_flush(format!("data: {index}\n\n").as_bytes()) {
            eprintln!("stream ended after {index}: {error}");
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    drop(stream);
    OutgoingBody::finish(body, None).unwrap();
}

/// Answers with so many mebibytes.
fn flood(out: ResponseOutparam, mebibytes: usize) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().unwrap();
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().unwrap();
    let chunk = vec![b'x'; 1 << 16];
    for _ in 0..mebibytes << 4 {
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            stream.subscribe().block();
            let Ok(room) = stream.check_write() else { return };
            let part = &rest[..rest.len().min(room as usize)];
            if stream.write(part).is_err() {
                return;
            }
            rest = &rest[part.len()..];
        }
    }
    if stream.blocking_flush().is_err() {
        return;
    }
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

/// Promises ten bytes and gives three.
fn short(out: ResponseOutparam) {
    let response = OutgoingResponse::new(Fields::from_list(&[("content-length".into(), b"10".to_vec())]).unwrap());
    let body = response.body().unwrap();
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().unwrap();
    stream.blocking_write_and_flush(b"abc").unwrap();
    drop(stream);
    eprintln!("finish: {:?}", OutgoingBody::finish(body, None));
}

fn late_trap(out: ResponseOutparam) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().unwrap();
    ResponseOutparam::set(out, Ok(response));
    body.write().unwrap().blocking_write_and_flush(b"begun").unwrap();
    panic!("trapped after the head");
}

/// Sends the request's body back while it still arrives.
fn pipe(request: &IncomingRequest, out: ResponseOutparam) {
    let incoming = request.consume().unwrap();
    let source = incoming.stream().unwrap();
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().unwrap();
    ResponseOutparam::set(out, Ok(response));
    let sink = body.write().unwrap();
    while let Ok(1..) | Err(StreamError::LastOperationFailed(_)) = sink.blocking_splice(&source, 1 << 16) {}
    drop(sink);
    OutgoingBody::finish(body, None).unwrap();
}

fn send(url: &str, method: Method, data: Option<&[u8]>, timeout: Option<u64>) -> Result<outgoing_handler::FutureIncomingResponse, String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, path) = rest.find('/').map_or((rest, "/"), |index| (&rest[..index], &rest[index..]));
    let headers = Fields::new();
    headers.append("x-from", b"guest").unwrap();
    let request = OutgoingRequest::new(headers);
    request.set_method(&method).map_err(|()| "method")?;
    request.set_path_with_query(Some(path)).map_err(|()| "path")?;
    let scheme = match scheme {
        "" => None,
        "http" => Some(Scheme::Http),
        "https" => Some(Scheme::Https),
        other => Some(Scheme::Other(other.into())),
    };
    request.set_scheme(scheme.as_ref()).map_err(|()| "scheme")?;
    if !authority.is_empty() {
        request.set_authority(Some(authority)).map_err(|()| "authority")?;
    }
    let body = data.map(|_| request.body().unwrap());
    let options = RequestOptions::new();
    if let Some(milliseconds) = timeout {
        let nanoseconds = Some(milliseconds * 1_000_000);
        options.set_connect_timeout(nanoseconds).map_err(|()| "timeout")?;
        options.set_first_byte_timeout(nanoseconds).map_err(|()| "timeout")?;
        options.set_between_bytes_timeout(nanoseconds).map_err(|()| "timeout")?;
    }
    let future = outgoing_handler::handle(request, Some(options)).map_err(|code| format!("{code:?}"))?;
    if let (Some(body), Some(data)) = (body, data) {
        let stream = body.write().unwrap();
        write_all(&stream, data).map_err(|error| error.to_string())?;
        drop(stream);
        OutgoingBody::finish(body, None).map_err(|code| format!("{code:?}"))?;
    }
    Ok(future)
}

fn receive(future: &outgoing_handler::FutureIncomingResponse) -> Reply {
    future.subscribe().block();
    let response = future.get().unwrap().unwrap().map_err(|code| format!("{code:?}"))?;
    let status = response.status();
    let mut data = Vec::new();
    for (name, value) in response.headers().entries() {
        if name.starts_with("x-") {
            data.extend_from_slice(format!("{name}: {}\n", String::from_utf8_lossy(&value)).as_bytes());
        }
    }
    let body = response.consume().unwrap();
    let stream = body.stream().unwrap();
    data.extend(read_all(&stream)?);
    Ok((status, data))
}

/// `fetch?URL`: sends this request on; `fetch?timeout=MS,URL` with time limits.
fn fetch(query: &str, request: &IncomingRequest) -> Reply {
    let (timeout, url) = match query.strip_prefix("timeout=").and_then(|rest| rest.split_once(',')) {
        Some((milliseconds, url)) => (milliseconds.parse().ok(), url),
        None => (None, query),
    };
    let data = body(request);
    receive(&send(url, request.method(), (!data.is_empty()).then_some(&data[..]), timeout)?)
}

/// `many?URL,URL…`: asks all at once, and answers with their bodies in order.
fn many(query: &str) -> Reply {
    let futures = query.split(',').map(|url| send(url, Method::Get, None, None)).collect::<Result<Vec<_>, _>>()?;
    let mut data = Vec::new();
    for future in &futures {
        data.extend(receive(future)?.1);
        data.push(b'\n');
    }
    Ok((200, data))
}
