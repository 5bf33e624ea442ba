//! The `log` crate's records, written to Envoy's log.

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::abi;

/// Prepares `log`. Envoy filters by its own level, which an operator may change at any time.
pub(crate) fn install() {
    // It fails when it was done before, and then there is nothing to do.
    let _ = log::set_logger(&Sink);
    log::set_max_level(LevelFilter::Debug);
}

struct Sink;

impl Log for Sink {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        let level = match record.level() {
            Level::Trace => 0,
            Level::Debug => 1,
            Level::Info => 2,
            Level::Warn => 3,
            Level::Error => 4,
        };
        // A line that Envoy does not take has nowhere else to go.
        let _ = abi::log(level, &format!("sni-guard: {}", record.args()));
    }

    fn flush(&self) {}
}
