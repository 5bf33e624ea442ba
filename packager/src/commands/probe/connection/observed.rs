//! A stream that notes how the server ends it: the clients of HTTP do not tell.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use rustls::AlertDescription;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::commands::probe::failure::is_end;

/// How the server ended a connection.
#[derive(Clone, Copy, Debug)]
pub(in crate::commands::probe) enum Ending {
    /// It closed it, or reset it.
    Closed,
    /// It said why.
    Alert(AlertDescription),
}

/// The stream.
pub(super) struct Observed {
    stream: TlsStream<TcpStream>,
    ending: Arc<OnceLock<Ending>>,
}

impl Observed {
    pub(super) fn new(stream: TlsStream<TcpStream>, ending: Arc<OnceLock<Ending>>) -> Self {
        Self { stream, ending }
    }

    fn note(&self, error: &io::Error) {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let ending = match tls {
            Some(rustls::Error::AlertReceived(alert)) => Ending::Alert(*alert),
            _ if is_end(error) => Ending::Closed,
            _ => return,
        };
        // The first one counts.
        let _ = self.ending.set(ending);
    }

    /// Takes note of why nothing can be written. A server that refuses the client certificate says
    /// so when the client has begun to write (RFC 8446 §4.4.2.4): what it said is still to be read.
    fn note_unwritten(&mut self, context: &mut Context<'_>, error: &io::Error) {
        let mut rest = [0; 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut rest);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(Err(last)) => return self.note(&last),
                Poll::Ready(Ok(())) | Poll::Pending => return self.note(error),
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
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        if let Err(error) = &written {
            self.note_unwritten(context, error);
        }
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(context));
        if let Err(error) = &flushed {
            self.note_unwritten(context, error);
        }
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
