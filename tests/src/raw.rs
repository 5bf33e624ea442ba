//! Requests that the libraries of [`client`](crate::client) refuse to send: with any octets as the
//! server name and as the authority.
//!
//! TLS is OpenSSL's program, which sends a server name as it is; the HTTP is written here.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::certificate::Certificate;
use crate::client::Response;

/// A connection, ended with this value.
pub struct RawConnection {
    openssl: Child,
    to: ChildStdin,
    from: ChildStdout,
    received: Vec<u8>,
    /// The next stream of HTTP/2.
    stream: u32,
}

/// The version of HTTP on a [`RawConnection`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// A frame of HTTP/2 (RFC 9113 §4.1).
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Types of frames (RFC 9113 §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

impl RawConnection {
    /// Opens a connection with TLS.
    ///
    /// # Errors
    /// OpenSSL is not installed.
    pub fn open(
        server: SocketAddr,
        sni: Option<&str>,
        version: Version,
        certificate: Option<&Certificate>,
    ) -> Result<Self> {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-connect", &server.to_string()]);
        command.args(match version {
            Version::Http1 => ["-alpn", "http/1.1"],
            Version::Http2 => ["-alpn", "h2"],
        });
        match sni {
            Some(sni) => command.args(["-servername", sni]),
            None => command.arg("-noservername"),
        };
        if let Some(files) = certificate {
            command.arg("-cert").arg(&files.certificate);
            command.arg("-key").arg(&files.key);
        }
        let mut openssl = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("running openssl: is it installed? `make setup` installs it")?;
        let mut to = openssl.stdin.take().context("openssl's input")?;
        let from = openssl.stdout.take().context("openssl's output")?;
        if version == Version::Http2 {
            to.write_all(PREFACE)?;
            // No dynamic table, and no pushes.
            to.write_all(&encode(
                SETTINGS,
                0,
                0,
                &[0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0],
            ))?;
        }
        Ok(Self {
            openssl,
            to,
            from,
            received: Vec::new(),
            stream: 1,
        })
    }

    /// Sends a GET over HTTP/2 and waits for the answer; `None` for a stream or connection that was
    /// reset.
    ///
    /// # Errors
    /// The connection is gone, or the answer cannot be read.
    pub fn get_h2(
        &mut self,
        authority: &[u8],
        headers: &[(&str, &str)],
    ) -> Result<Option<Response>> {
        let mut fields: Vec<(&[u8], &[u8])> = vec![
            (b":method", b"GET"),
            (b":scheme", b"https"),
            (b":path", b"/"),
            (b":authority", authority),
        ];
        fields.extend(
            headers
                .iter()
                .map(|(name, value)| (name.as_bytes(), value.as_bytes())),
        );
        let stream = self.stream;
        self.stream += 2;
        let block = literals(&fields);
        self.to
            .write_all(&encode(HEADERS, END_STREAM | END_HEADERS, stream, &block))?;
        self.receive_h2(stream)
    }

    fn receive_h2(&mut self, stream: u32) -> Result<Option<Response>> {
        let mut head = None;
        let mut body = Vec::new();
        loop {
            let Some(frame) = self.read_frame()? else {
                return Ok(None);
            };
            let is_ours = frame.stream == stream;
            match frame.kind {
                SETTINGS if frame.flags == 0 => self.to.write_all(&encode(SETTINGS, 1, 0, &[]))?,
                HEADERS if is_ours && head.is_none() => head = Some(decode(&frame.payload)?),
                DATA if is_ours => body.extend(frame.payload),
                RST_STREAM if is_ours => return Ok(None),
                GOAWAY => return Ok(None),
                _ => {}
            }
            let ends = [DATA, HEADERS].contains(&frame.kind) && frame.flags & END_STREAM != 0;
            if ends && is_ours {
                let (status, headers) = head.context("an answer without a head")?;
                return Ok(Some(Response {
                    status,
                    headers,
                    body,
                    closed: false,
                }));
            }
        }
    }

    /// The next frame; `None` at the end of the connection.
    fn read_frame(&mut self) -> Result<Option<Frame>> {
        let Some(head) = self.read(9)? else {
            return Ok(None);
        };
        let [a, b, c, kind, flags, stream @ ..] = head.as_slice() else {
            bail!("a frame without a head");
        };
        let length = u32::from_be_bytes([0, *a, *b, *c]);
        let stream = u32::from_be_bytes(stream.try_into()?);
        let (kind, flags) = (*kind, *flags);
        let payload = self.read(usize::try_from(length)?)?;
        Ok(payload.map(|payload| Frame {
            kind,
            flags,
            stream,
            payload,
        }))
    }

    /// So many octets; `None` when the connection ends before.
    fn read(&mut self, size: usize) -> Result<Option<Vec<u8>>> {
        let mut buffer = [0; 4096];
        while self.received.len() < size {
            match self.from.read(&mut buffer)? {
                0 => return Ok(None),
                count => self
                    .received
                    .extend(buffer.get(..count).unwrap_or_default()),
            }
        }
        let rest = self.received.split_off(size);
        Ok(Some(std::mem::replace(&mut self.received, rest)))
    }

    /// Sends a GET over HTTP/1.1 and returns the status; `None` when the connection ends without one.
    ///
    /// # Errors
    /// The answer cannot be read.
    pub fn get_h1(&mut self, authority: &[u8], headers: &[(&str, &str)]) -> Result<Option<u16>> {
        let mut request = b"GET / HTTP/1.1\r\nconnection: close\r\nhost: ".to_vec();
        request.extend(authority);
        for (name, value) in headers {
            request.extend(format!("\r\n{name}: {value}").bytes());
        }
        request.extend(b"\r\n\r\n");
        self.to.write_all(&request)?;
        let Some(line) = self.read(12)? else {
            return Ok(None);
        };
        let line = String::from_utf8(line)?;
        let status = line.strip_prefix("HTTP/1.1 ").context("no status line")?;
        Ok(Some(status.parse()?))
    }
}

impl Drop for RawConnection {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.openssl.kill();
        let _ = self.openssl.wait();
    }
}

fn encode(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .unwrap_or_default()
        .to_be_bytes();
    let mut frame = length.get(1..).unwrap_or_default().to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Fields as literals that are never indexed, without Huffman coding (RFC 7541 §6.2.3).
fn literals(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0x10);
        for text in [name, value] {
            length_prefix(text.len(), &mut block);
            block.extend(*text);
        }
    }
    block
}

/// A length in seven bits, and more octets where those are not enough (RFC 7541 §5.1).
fn length_prefix(length: usize, block: &mut Vec<u8>) {
    let Some(mut rest) = length.checked_sub(127) else {
        block.push(u8::try_from(length).unwrap_or_default());
        return;
    };
    block.push(127);
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap_or_default() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap_or_default());
}

fn decode(block: &[u8]) -> Result<(u16, HeaderMap)> {
    let mut decoder = fluke_hpack::Decoder::new();
    let fields = decoder
        .decode(block)
        .map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let mut headers = HeaderMap::new();
    let mut status = None;
    for (name, value) in fields {
        if name == b":status" {
            status = Some(String::from_utf8(value)?.parse()?);
        } else {
            headers.append(
                HeaderName::from_bytes(&name)?,
                HeaderValue::from_bytes(&value)?,
            );
        }
    }
    Ok((status.context("an answer without a status")?, headers))
}
