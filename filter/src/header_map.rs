//! Headers in the form that Proxy-Wasm passes them.

/// The number of headers, the two lengths of each, then their texts, each ended by a NUL. Numbers have
/// 32 bits and are little-endian (proxy-wasm ABI 0.2.1, "Serialization of headers").
#[must_use]
pub fn encode(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut map = number(headers.len()).to_vec();
    for (name, value) in headers {
        map.extend(number(name.len()));
        map.extend(number(value.len()));
    }
    for (name, value) in headers {
        for text in [name, value] {
            map.extend(text.bytes());
            map.push(0);
        }
    }
    map
}

fn number(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or_default().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_come_before_texts() {
        assert_eq!(encode(&[]), [0; 4]);
        let expected = b"\x02\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\0\0\0\0a\0bc\0def\0\0";
        assert_eq!(encode(&[("a", "bc"), ("def", "")]), expected);
    }
}
