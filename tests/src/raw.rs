//! Requests that the libraries of [`client`](crate::client) refuse to send: with any octets as the
//! server name and as the authority.
//!
//! TLS is OpenSSL's program, which sends a server name as it is; the HTTP is written here.

mod http1;
mod http2;

pub(crate) use http1::{content_length, parse_head};

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use self::http2::{
    DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, decode,
    encode, literals,
};
use crate::certificate::Certificate;
use crate::client::Response;

/// A connection, ended with this value.
pub struct RawConnection {
    /// The program that does TLS, if the connection has it.
    openssl: Option<Child>,
    to: Box<dyn Write + Send>,
    from: Box<dyn Read + Send>,
    received: Vec<u8>,
    /// The next stream of HTTP/2.
    stream: u32,
}

/// The version of HTTP on a [`RawConnection`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http1,
    Http2,
}

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
        let to = openssl.stdin.take().context("openssl's input")?;
        let from = openssl.stdout.take().context("openssl's output")?;
        Self::start(version, Some(openssl), Box::new(to), Box::new(from))
    }

    /// Opens a connection without TLS, which costs no program.
    ///
    /// # Errors
    /// The server is not there.
    pub fn open_plaintext(server: SocketAddr, version: Version) -> Result<Self> {
        let to = TcpStream::connect(server)?;
        to.set_nodelay(true)?;
        to.set_read_timeout(Some(Duration::from_secs(10)))?;
        let from = to.try_clone()?;
        Self::start(version, None, Box::new(to), Box::new(from))
    }

    fn start(
        version: Version,
        openssl: Option<Child>,
        mut to: Box<dyn Write + Send>,
        from: Box<dyn Read + Send>,
    ) -> Result<Self> {
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
        self.request_h2(&fields)
    }

    /// Sends a request with these header fields over HTTP/2 and waits for the answer; `None` for a stream or
    /// connection that was reset.
    ///
    /// # Errors
    /// As [`Self::get_h2`].
    pub fn request_h2(&mut self, fields: &[(&[u8], &[u8])]) -> Result<Option<Response>> {
        let stream = self.stream;
        self.stream += 2;
        let block = literals(fields);
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
        while self.received.len() < size {
            if !self.read_more()? {
                return Ok(None);
            }
        }
        let rest = self.received.split_off(size);
        Ok(Some(std::mem::replace(&mut self.received, rest)))
    }

    /// Whether there was more to read before the end of the connection.
    fn read_more(&mut self) -> Result<bool> {
        let mut buffer = [0; 4096];
        let count = self.from.read(&mut buffer)?;
        self.received
            .extend(buffer.get(..count).unwrap_or_default());
        Ok(count > 0)
    }
}

impl Drop for RawConnection {
    fn drop(&mut self) {
        if let Some(openssl) = &mut self.openssl {
            // It may have ended by itself.
            let _ = openssl.kill();
            let _ = openssl.wait();
        }
    }
}
