// SPDX-License-Identifier: AGPL-3.0-or-later
//! A web server that does what a test says, and the program that pulls from it.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};

/// A request: its path with the query, and its headers, names in lower case.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// First byte of the part that is asked for.
    pub(crate) fn from(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

type Handler = dyn Fn(usize, &Request, &mut dyn Write) -> std::io::Result<()> + Send + Sync;

/// A server on a free port of this machine; it lives as long as the test.
pub(crate) struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// The handler gets the number of the request, from 1, and writes the whole response; the
    /// connection is closed behind it.
    pub(crate) fn new(
        handler: impl Fn(usize, &Request, &mut dyn Write) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::start("http", None, Arc::new(handler))
    }

    /// The same over TLS, with the certificate of the fixtures.
    pub(crate) fn secure(
        handler: impl Fn(usize, &Request, &mut dyn Write) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let certificate = CertificateDer::from(include_bytes!("tls/server.der").to_vec());
        let key = PrivateKeyDer::try_from(include_bytes!("tls/server.key.der").to_vec()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls_graviola::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
        Self::start("https", Some(Arc::new(config)), Arc::new(handler))
    }

    fn start(scheme: &str, tls: Option<Arc<rustls::ServerConfig>>, handler: Arc<Handler>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("{scheme}://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (tls, handler, kept) = (tls.clone(), Arc::clone(&handler), Arc::clone(&kept));
                // A client that hangs up is no fault of the server.
                std::thread::spawn(move || drop(serve(stream.unwrap(), tls, &*handler, &kept)));
            }
        });
        Self { address, asked }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(
    socket: TcpStream,
    tls: Option<Arc<rustls::ServerConfig>>,
    handler: &Handler,
    asked: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    match tls {
        None => {
            let mut out = socket.try_clone()?;
            let request = read_request(&mut BufReader::new(&socket))?;
            let number = keep(asked, &request);
            handler(number, &request, &mut out)?;
            // What the client still sends must not become a reset of what it has not read yet.
            socket.shutdown(Shutdown::Write)?;
            std::io::copy(&mut &socket, &mut std::io::sink())?;
        }
        Some(config) => {
            let connection =
                rustls::ServerConnection::new(config).map_err(std::io::Error::other)?;
            let mut stream = rustls::StreamOwned::new(connection, socket);
            let request = read_request(&mut BufReader::new(&mut stream))?;
            let number = keep(asked, &request);
            handler(number, &request, &mut stream)?;
            stream.conn.send_close_notify();
            stream.flush()?;
        }
    }
    Ok(())
}

fn keep(asked: &Mutex<Vec<Request>>, request: &Request) -> usize {
    let mut asked = asked.lock().unwrap();
    asked.push(request.clone());
    asked.len()
}

fn read_request(stream: &mut BufReader<impl Read>) -> std::io::Result<Request> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            return Ok(Request { path, headers });
        };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
}

/// Writes a response with this body; `headers` end in line breaks.
pub(crate) fn reply(
    out: &mut dyn Write,
    status: &str,
    headers: &str,
    body: &[u8],
) -> std::io::Result<()> {
    write!(out, "HTTP/1.1 {status}\r\n{headers}connection: close\r\n\r\n")?;
    out.write_all(body)?;
    out.flush()
}

/// Writes `bytes`, or the part that is asked for; no more than `most` bytes of the body.
pub(crate) fn send(
    out: &mut dyn Write,
    asked: &Request,
    bytes: &[u8],
    tag: &str,
    most: usize,
) -> std::io::Result<()> {
    let same = asked.header("if-range").is_none_or(|wanted| wanted == tag);
    let (status, from, range) = match asked.from().filter(|_| same) {
        Some(from) if from >= bytes.len() => {
            let headers =
                format!("content-range: bytes */{}\r\ncontent-length: 0\r\n", bytes.len());
            return reply(out, "416 Range Not Satisfiable", &headers, b"");
        }
        Some(from) => {
            let (to, all) = (bytes.len() - 1, bytes.len());
            ("206 Partial Content", from, format!("content-range: bytes {from}-{to}/{all}\r\n"))
        }
        None => ("200 OK", 0, String::new()),
    };
    let body = &bytes[from..];
    let headers = format!("content-length: {}\r\netag: {tag}\r\n{range}", body.len());
    reply(out, status, &headers, &body[..body.len().min(most)])
}

/// Bytes that no two offsets of look the same.
pub(crate) fn content(bytes: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The program on a store of its own, without proxies.
pub(crate) fn bho(store: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bho"));
    for variable in [
        "BHO_HUB",
        "BHO_HUB_TOKEN",
        "ALL_PROXY",
        "all_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "HTTP_PROXY",
        "http_proxy",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
    ] {
        command.env_remove(variable);
    }
    command.env("BHO_MODELS_DIR", store).stdin(Stdio::null());
    command
}

/// Pulls without a question; `args` follow.
pub(crate) fn pull(store: &Path, args: &[&str]) -> Output {
    bho(store).args(["models", "pull", "--yes"]).args(args).output().unwrap()
}

/// The outcome of a pull that should work, as JSON.
pub(crate) fn pulled(store: &Path, args: &[&str]) -> serde_json::Value {
    let output = pull(store, &[args, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A failure with this code that says `message` and prints nothing.
pub(crate) fn fails(output: &Output, code: i32, message: &str) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(
        said.contains(message) && !said.contains("panicked"),
        "expected {message:?} in {said:?}"
    );
    assert!(output.stdout.is_empty());
}
