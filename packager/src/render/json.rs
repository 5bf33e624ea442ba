//! The report as it is.

use std::io::{self, Write};

use gateway::findings::Report;

pub(super) fn write(report: &Report, sink: &mut dyn Write) -> io::Result<()> {
    writeln!(sink, "{}", serde_json::to_string(report)?)
}
