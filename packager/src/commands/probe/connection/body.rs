//! A body, read as far as anybody would and hashed.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::Bytes;
use gateway::probe::Body;
use hyper::body::{Body as _, Incoming};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout_at};

/// How many octets of a body are read.
const MAX_BODY: usize = 1 << 20;

/// A body that is still to come.
pub(super) enum Reader {
    H2(h2::RecvStream),
    H1(Incoming),
}

impl Reader {
    /// Reads it. One that breaks off, or goes on beyond the deadline, is unknown.
    pub(super) async fn read(self, deadline: Instant) -> Body {
        timeout_at(deadline, self.digest())
            .await
            .ok()
            .flatten()
            .unwrap_or(Body::Unknown)
    }

    async fn digest(mut self) -> Option<Body> {
        let mut digest = Sha256::new();
        let mut room = MAX_BODY;
        while let Some(part) = self.next().await {
            let part = part?;
            let taken = part.get(..room).unwrap_or(&part);
            digest.update(taken);
            if taken.len() < part.len() {
                return Some(Body::Beginning(hex::encode(digest.finalize())));
            }
            room -= taken.len();
        }
        Some(Body::Whole(hex::encode(digest.finalize())))
    }

    /// The next part; `Some(None)` where it breaks off.
    async fn next(&mut self) -> Option<Option<Bytes>> {
        match self {
            Self::H2(stream) => {
                let part = stream.data().await?.ok();
                let size = part.as_ref().map_or(0, Bytes::len);
                // It fails when the stream is gone, which shows in the next part.
                let _ = stream.flow_control().release_capacity(size);
                Some(part)
            }
            Self::H1(incoming) => loop {
                let frame = poll_fn(|context| Pin::new(&mut *incoming).poll_frame(context)).await?;
                match frame.map(hyper::body::Frame::into_data) {
                    Ok(Ok(part)) => return Some(Some(part)),
                    // Trailers.
                    Ok(Err(_)) => {}
                    Err(_) => return Some(None),
                }
            },
        }
    }
}
