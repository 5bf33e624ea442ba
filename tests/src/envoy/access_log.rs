//! The access log of a gateway under test.

use anyhow::{Context, Result};

/// What Envoy writes about a request, value by value.
pub(super) const FORMAT: &str = "%REQ(:AUTHORITY)% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS% \
                                 %CONNECTION_ID% %REQUESTED_SERVER_NAME% %PROTOCOL% \
                                 %REQ(:METHOD)% %REQ(:PATH)% %BYTES_RECEIVED% \
                                 %FILTER_STATE(wasm.sni_guard_reported:PLAIN)% \
                                 %DYNAMIC_METADATA(sni_guard:reason)%\n";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Its authority, as it came.
    pub authority: String,
    /// The status of the answer.
    pub status: u16,
    /// Why Envoy answered that (`RESPONSE_CODE_DETAILS`).
    pub details: String,
    /// A number that the connection has in this Envoy alone.
    pub connection: u64,
    /// The SNI of the connection, `-` without one.
    pub sni: String,
    /// The version of HTTP, as Envoy writes it.
    pub protocol: String,
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The octets of the body that arrived.
    pub received: u64,
    /// Why it is misdirected, where the action is `report`; `-` elsewhere.
    pub reported: String,
    /// Why it is misdirected, where the generated Lua script decided; `-` elsewhere.
    pub misdirected: String,
}

impl Logged {
    /// The host of its authority.
    #[must_use]
    pub fn host(&self) -> &str {
        self.authority.split(':').next().unwrap_or_default()
    }

    /// The port of its authority, where that has one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.authority.rsplit_once(':')?.1.parse().ok()
    }

    pub(super) fn parse(line: &str) -> Result<Self> {
        let values: Vec<&str> = line.split(' ').collect();
        let [
            authority,
            status,
            details,
            connection,
            sni,
            protocol,
            method,
            path,
            received,
            reported,
            misdirected,
        ] = values.as_slice()
        else {
            anyhow::bail!("the access log has the line {line:?}");
        };
        Ok(Self {
            authority: (*authority).to_owned(),
            status: status.parse().with_context(|| line.to_owned())?,
            details: (*details).to_owned(),
            connection: connection.parse().with_context(|| line.to_owned())?,
            sni: (*sni).to_owned(),
            protocol: (*protocol).to_owned(),
            method: (*method).to_owned(),
            path: (*path).to_owned(),
            received: received.parse().with_context(|| line.to_owned())?,
            reported: (*reported).to_owned(),
            misdirected: (*misdirected).to_owned(),
        })
    }
}
