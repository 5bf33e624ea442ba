//! The frames of HTTP/2 and the fields in them, as a client writes them that has no opinion about them.

use anyhow::{Context, Result};
use http::{HeaderMap, HeaderName, HeaderValue};

/// A frame of HTTP/2 (RFC 9113 §4.1).
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Types of frames (RFC 9113 §6).
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const GOAWAY: u8 = 7;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// A frame in octets.
pub(super) fn encode(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
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
pub(super) fn literals(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
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

/// The status and the headers of an answer.
pub(super) fn decode(block: &[u8]) -> Result<(u16, HeaderMap)> {
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
