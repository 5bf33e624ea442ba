//! HTTP/1.1 on a raw connection.

use anyhow::{Context, Result};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::RawConnection;
use crate::client::Response;

impl RawConnection {
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

    /// Sends a GET over HTTP/1.1 and reads the answer to its end, so that another may follow on the
    /// same connection; `None` when the connection ends before.
    ///
    /// # Errors
    /// The connection is gone, or the answer cannot be read.
    pub fn get_kept_h1(&mut self, authority: &[u8]) -> Result<Option<Response>> {
        let request = [b"GET / HTTP/1.1\r\nhost: ", authority, b"\r\n\r\n"].concat();
        self.to.write_all(&request)?;
        let Some(head) = self.read_head()? else {
            return Ok(None);
        };
        let (status, headers) = parse_head(&head)?;
        let Some(body) = self.read(content_length(&headers)?)? else {
            return Ok(None);
        };
        let closed = headers
            .get("connection")
            .is_some_and(|value| value == "close");
        Ok(Some(Response {
            status,
            headers,
            body,
            closed,
        }))
    }

    /// What comes before the body, with the empty line.
    fn read_head(&mut self) -> Result<Option<String>> {
        loop {
            let end = self
                .received
                .windows(4)
                .position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let head = self.read(end + 4)?.context("the head was received")?;
                return Ok(Some(String::from_utf8(head)?));
            }
            if !self.read_more()? {
                return Ok(None);
            }
        }
    }
}

/// The length of the body; 0 without the header.
pub(crate) fn content_length(headers: &HeaderMap) -> Result<usize> {
    match headers.get("content-length") {
        Some(length) => Ok(length.to_str()?.parse()?),
        None => Ok(0),
    }
}

/// The status and the headers, from the text before the empty line.
pub(crate) fn parse_head(head: &str) -> Result<(u16, HeaderMap)> {
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .context("no status line")?;
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        headers.append(
            HeaderName::from_bytes(name.as_bytes())?,
            HeaderValue::from_str(value)?,
        );
    }
    Ok((status.parse()?, headers))
}
