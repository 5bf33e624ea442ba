//! The digest of a body, up to a limit.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::Bytes;
use gateway::probe::Body;
use hyper::body::{Body as _, Incoming};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout_at};

/// How many octets of a body are read at most.
const MAX_BODY: usize = 1 << 20;

/// A body that is not read yet.
pub(super) enum Reader {
    H2(h2::RecvStream),
    H1(Incoming),
}

/// The body ended before its last part.
struct Incomplete;

impl Reader {
    /// Reads the body. If it ends early, or not before the deadline, it is unknown.
    pub(super) async fn read(self, deadline: Instant) -> Body {
        timeout_at(deadline, self.digest())
            .await
            .ok()
            .flatten()
            .unwrap_or(Body::Unknown)
    }

    async fn digest(mut self) -> Option<Body> {
        let mut digest = Sha256::new();
        let mut remaining = MAX_BODY;
        while let Some(part) = self.next_part().await {
            let part = part.ok()?;
            let taken = part.get(..remaining).unwrap_or(&part);
            digest.update(taken);
            // The rest of a long body is not worth the traffic: the beginning is compared.
            if taken.len() < part.len() {
                return Some(Body::Beginning(hex::encode(digest.finalize())));
            }
            remaining -= taken.len();
        }
        Some(Body::Whole(hex::encode(digest.finalize())))
    }

    /// The next part of the body; `None` at its end. The error is a body that ends early.
    async fn next_part(&mut self) -> Option<Result<Bytes, Incomplete>> {
        match self {
            Self::H2(stream) => {
                let Ok(part) = stream.data().await? else {
                    return Some(Err(Incomplete));
                };
                // The server waits for the window to open again (RFC 9113 §5.2). This fails if the
                // stream is gone, and then the next part is an error.
                let _ = stream.flow_control().release_capacity(part.len());
                Some(Ok(part))
            }
            Self::H1(incoming) => loop {
                let frame = poll_fn(|context| Pin::new(&mut *incoming).poll_frame(context)).await?;
                match frame.map(hyper::body::Frame::into_data) {
                    Ok(Ok(part)) => return Some(Ok(part)),
                    // Trailers are not part of the body.
                    Ok(Err(_)) => {}
                    Err(_) => return Some(Err(Incomplete)),
                }
            },
        }
    }
}
