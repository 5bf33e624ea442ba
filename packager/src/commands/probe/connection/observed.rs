//! A stream that records how the server ends the connection: HTTP clients do not report TLS alerts.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::commands::probe::ending::Ending;

/// A TLS stream with a record of its end.
pub(super) struct Observed {
    stream: TlsStream<TcpStream>,
    ending: Arc<OnceLock<Ending>>,
    /// The error of a write, until the rest of the server's data is read.
    unwritten: Option<io::Error>,
}

impl Observed {
    pub(super) fn new(stream: TlsStream<TcpStream>, ending: Arc<OnceLock<Ending>>) -> Self {
        Self {
            stream,
            ending,
            unwritten: None,
        }
    }

    fn note(&self, error: &io::Error) {
        if let Some(ending) = Ending::from_error(error) {
            // A later error is a consequence of the first one.
            let _ = self.ending.set(ending);
        }
    }

    /// Returns the error of a write after the rest of the server's data is read. A server that refuses
    /// the client certificate sends its alert when the client may already write (RFC 8446 §4.4.2.4).
    fn poll_unwritten(&mut self, context: &mut Context<'_>, error: io::Error) -> Poll<io::Error> {
        // Application data is discarded: only the alert or the error after it matters.
        let mut rest = [0; 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut rest);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(Ok(())) => {
                    self.note(&error);
                    return Poll::Ready(error);
                }
                Poll::Ready(Err(last)) => {
                    self.note(&last);
                    return Poll::Ready(error);
                }
                Poll::Pending => {
                    self.unwritten = Some(error);
                    return Poll::Pending;
                }
            }
        }
    }
}

impl AsyncRead for Observed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        match &read {
            // A read without data is the end of the stream.
            Ok(()) if buffer.filled().len() == before => {
                self.note(&io::ErrorKind::UnexpectedEof.into());
            }
            Ok(()) => {}
            Err(error) => self.note(error),
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Observed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let error = match this.unwritten.take() {
            Some(error) => error,
            None => match ready!(Pin::new(&mut this.stream).poll_write(context, bytes)) {
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(error) => error,
            },
        };
        this.poll_unwritten(context, error).map(Err)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let error = match this.unwritten.take() {
            Some(error) => error,
            None => match ready!(Pin::new(&mut this.stream).poll_flush(context)) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(error) => error,
            },
        };
        this.poll_unwritten(context, error).map(Err)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
